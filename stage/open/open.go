// SPDX-License-Identifier: Apache-2.0

// Package open turns the URL of a stage into its bucket.
package open

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/s3"
)

// Bucket returns the bucket that the URL names:
//
//	file:///folder
//	s3://bucket/prefix?endpoint=https://host:9000&region=eu-west-1
//	mem:
//
// Further parameters of s3 are path-style=true, encryption=AES256 or
// encryption=aws:kms, and kms-key. Without endpoint and region, the environment
// decides: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION and
// AWS_DEFAULT_REGION. An error says what is wrong with the URL. Nothing is
// contacted and nothing is made.
func Bucket(_ context.Context, rawURL string) (stage.Bucket, error) {
	b, err := parse(rawURL, os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("open stage: %w", err)
	}
	return b, nil
}

const examples = "file:///folder, or s3://bucket/prefix?endpoint=http://host:9000&region=r"

func parse(rawURL string, getenv func(string) string) (stage.Bucket, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("the URL cannot be parsed: write " + examples)
	}
	if u.User != nil {
		return nil, errors.New("the URL has credentials in it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
	}
	if u.Fragment != "" {
		return nil, errors.New("the URL has a fragment: write %23 for a # in a name")
	}
	parameters, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("the parameters of the URL cannot be parsed: write " + examples)
	}
	var known []string
	if u.Scheme == "s3" {
		known = []string{"endpoint", "region", "path-style", "encryption", "kms-key"}
	}
	for name, values := range parameters {
		if !slices.Contains(known, name) || len(values) > 1 {
			return nil, fmt.Errorf("parameter %q of the URL is not known or given twice", name)
		}
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path) || strings.ContainsRune(u.Path, 0) {
			return nil, errors.New("a file URL has three slashes and an absolute path: write file:///folder")
		}
		return file.New(filepath.Clean(u.Path)), nil
	case "s3":
		return parseS3(u, parameters, getenv)
	case "mem":
		if rawURL != "mem:" {
			return nil, errors.New("a stage in memory has no name: write mem: and nothing else")
		}
		return new(mem.Bucket), nil
	case "":
		return nil, errors.New("the URL has no scheme: write " + examples)
	default:
		return nil, errors.New("the scheme of the URL is not known: write " + examples)
	}
}

func parseS3(u *url.URL, parameters url.Values, getenv func(string) string) (stage.Bucket, error) {
	if u.Host == "" || u.Host != u.Hostname() {
		return nil, errors.New("an s3 URL begins with the name of a bucket: write s3://bucket/prefix, and endpoint=http://host:9000 for the store")
	}
	pathStyle := false
	if text := parameters.Get("path-style"); text != "" {
		var err error
		if pathStyle, err = strconv.ParseBool(text); err != nil {
			return nil, errors.New("path-style is true or false")
		}
	}
	b, err := s3.New(s3.Config{
		Endpoint:   cmp.Or(parameters.Get("endpoint"), getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL")),
		Bucket:     u.Host,
		Prefix:     u.Path,
		Region:     cmp.Or(parameters.Get("region"), getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")),
		PathStyle:  pathStyle,
		Encryption: parameters.Get("encryption"),
		KMSKey:     parameters.Get("kms-key"),
	})
	if err != nil {
		return nil, err // and not a bucket that is a nil pointer
	}
	return b, nil
}
