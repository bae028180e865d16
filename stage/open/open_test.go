// SPDX-License-Identifier: Apache-2.0

package open

import (
	"errors"
	"io/fs"
	neturl "net/url"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/stage"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		url  string
		want string // part of the error; empty means that it opens
	}{
		{"file:///var/lib/stage", ""},
		{"file://localhost/stage", ""},
		{"file:///with%20space", ""},
		{"mem:", ""},
		{"s3://bucket", ""},
		{"s3://my.bucket-1/a/prefix/", ""},
		{"s3://bucket/p?endpoint=http://127.0.0.1:9000&region=r&path-style=true", ""},
		{"s3://bucket?encryption=AES256", ""},
		{"s3://bucket?encryption=aws:kms&kms-key=id", ""},

		{"", "no scheme"},
		{"/var/lib/stage", "no scheme"},
		{"http://host/bucket", "scheme of the URL is not known"},
		{"file://folder/below", "three slashes"},
		{"file:folder", "three slashes"},
		{"file:///a?region=r", `"region"`},
		{"mem:x", "no name"},
		{"mem://x", "no name"},
		{"s3://B", "lower-case"},
		{"s3:///prefix", "name of a bucket"},
		{"s3://host:9000/bucket", "name of a bucket"},
		{"s3://key:secret@bucket", "credentials"},
		{"s3://bucket?regoin=r", `"regoin"`},
		{"s3://bucket?region=a&region=b", "given twice"},
		{"s3://bucket?endpoint=host:9000", "http://host:9000"},
		{"s3://bucket?endpoint=http://host/path", "http://host:9000"},
		{"s3://bucket?path-style=maybe", "true or false"},
		{"s3://bucket?encryption=rot13", "AES256"},
		{"s3://bucket?kms-key=id", "AES256"},
		{"s3://bucket/a//b", "prefix"},
		{"s3://bucket/../b", "prefix"},
		{"s3://bucket/a#b", "fragment"},
		{"s3://bucket?%zz", "parameters"},
		{"s3://buc ket", "cannot be parsed"},
		{"\x00", "cannot be parsed"},
	} {
		t.Run(test.url, func(t *testing.T) {
			b, err := parse(test.url, func(string) string { return "" })
			switch {
			case test.want == "" && (err != nil || b == nil):
				t.Errorf("got %v, %v", b, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got error %v, want one about %q", err, test.want)
			}
		})
	}
}

func TestEnvironmentFillsIn(t *testing.T) {
	environment := map[string]string{"AWS_ENDPOINT_URL": "not a URL"}
	getenv := func(name string) string { return environment[name] }
	if _, err := parse("s3://bucket", getenv); err == nil {
		t.Error("AWS_ENDPOINT_URL is not looked at")
	}
	environment["AWS_ENDPOINT_URL_S3"] = "http://host:9000"
	if _, err := parse("s3://bucket", getenv); err != nil {
		t.Errorf("AWS_ENDPOINT_URL_S3 does not come first: %v", err)
	}
	if _, err := parse("s3://bucket?endpoint=bad", getenv); err == nil {
		t.Error("the URL does not come first")
	}
}

func TestBucketOfAFolderWorks(t *testing.T) {
	b, err := Bucket(t.Context(), "file://"+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "a", strings.NewReader("x"), stage.Condition{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "a", strings.NewReader("x"), stage.Condition{IfAbsent: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second create: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, url := range []string{"file:///a", "s3://bucket/p?endpoint=http://h:1&region=r&path-style=1&encryption=aws:kms&kms-key=k", "mem:", "s3://u:p@b", "://", "file://%00"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		b, err := parse(url, func(string) string { return "" })
		if (b == nil) == (err == nil) {
			t.Errorf("got %v, %v", b, err)
		}
		if u, parseErr := neturl.Parse(url); parseErr == nil && u.User != nil && err == nil {
			t.Error("a URL with credentials opens")
		}
	})
}
