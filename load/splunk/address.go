// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"errors"
	"net/url"
	"strings"

	"github.com/segment-bridge/segment-bridge/load/internal/peer"
)

// collectorPath is where HEC lives.
const collectorPath = "/services/collector"

// baseURL returns the address before [collectorPath], without a trailing slash. People write it in many
// ways: with or without scheme (https then), with the path of one endpoint or another, and behind a proxy
// under a path of its own.
func baseURL(text string) (*url.URL, error) {
	u, err := peer.ParseURL("splunk URL", "https://splunk.example:8088", text)
	if err != nil {
		return nil, err
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
