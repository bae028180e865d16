// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

func TestMinIO(t *testing.T) {
	b := world.MinIO(t)
	put := func(data string) error {
		options := minio.PutObjectOptions{}
		options.SetMatchETagExcept("*")
		_, err := b.Client.PutObject(t.Context(), b.Name, "a/b", strings.NewReader(data), int64(len(data)), options)
		return err
	}
	if err := put("first"); err != nil {
		t.Fatal(err)
	}
	if err := put("second"); minio.ToErrorResponse(err).StatusCode != http.StatusPreconditionFailed {
		t.Errorf("create what exists: %v, want 412", err)
	}
	object, err := b.Client.GetObject(t.Context(), b.Name, "a/b", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if data, err := io.ReadAll(object); err != nil || string(data) != "first" {
		t.Errorf("read %q, %v; want first", data, err)
	}
	if other := world.MinIO(t); other.Name == b.Name || other.Endpoint != b.Endpoint {
		t.Errorf("%s and %s: want two buckets of one server", b.URL(""), other.URL(""))
	}
}
