// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"errors"
	"net/url"
	"strings"
)

// collectorPath is where HEC lives.
const collectorPath = "/services/collector"

// baseURL returns the address before [collectorPath], without a trailing slash. People write it in many
// ways: with or without scheme (https then), with the path of one endpoint or another, and behind a proxy
// under a path of its own.
func baseURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errors.New("splunk URL is empty: give the address of the HTTP Event Collector, such as https://splunk.example:8088")
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch { // the errors do not repeat the address: it may hold a password
	case err != nil:
		return nil, errors.New("splunk URL is not a URL: give one such as https://splunk.example:8088")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("splunk URL has an unknown scheme: give an https URL")
	case u.Hostname() == "":
		return nil, errors.New("splunk URL has no host: give a URL such as https://splunk.example:8088")
	case u.User != nil:
		return nil, errors.New("splunk URL holds a user name: leave it out and set the token instead")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("splunk URL has a query or a fragment: leave it out; a token goes into its own setting")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if before, after, found := cutLast(path, collectorPath); found {
		switch after {
		case "", "/event", "/event/1.0", "/1.0", "/health", "/health/1.0", "/ack":
			path = strings.TrimRight(before, "/")
		default:
			return nil, errors.New("splunk URL goes on behind /services/collector: leave the rest out; events go to /services/collector/event")
		}
	}
	return url.Parse(u.Scheme + "://" + u.Host + path)
}

// cutLast cuts s around the last sep that ends a part of the path.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 || len(s) > i+len(sep) && s[i+len(sep)] != '/' {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range []byte(s) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if r != '-' {
				return false
			}
		case !strings.ContainsRune("0123456789abcdefABCDEF", rune(r)):
			return false
		}
	}
	return true
}
