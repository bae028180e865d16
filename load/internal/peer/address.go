// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
)

// ParseURL reads the address of a server as people write it: white space around it is dropped, and it is https unless
// it has a scheme. The name of the setting and an example of it become part of the errors, which never repeat the
// address: it may hold a password.
func ParseURL(name, example, text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, fmt.Errorf("%s is empty: give one such as %s", name, example)
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is not a URL: give one such as %s", name, example)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%s has an unknown scheme: give an https URL", name)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s has no host: give one such as %s", name, example)
	case u.User != nil:
		return nil, fmt.Errorf("%s holds a user name: leave it out; credentials go into a setting of their own", name)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%s has a query or a fragment: leave it out; credentials go into a setting of their own", name)
	}
	return u, nil
}

// InTheClear reports whether what is sent to u can be read on the way.
func InTheClear(u *url.URL) bool {
	return u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback()
}

// Pack compresses a body.
func Pack(body io.Reader) ([]byte, error) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.Copy(w, body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
