// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/internal/retry"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// bodies answers requests with one body after the other, then with an empty list.
type bodies struct {
	status int
	rest   [][]byte
}

func (b *bodies) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := http.StatusOK, []byte(`{}`)
	if len(b.rest) > 0 {
		status, body, b.rest = b.status, b.rest[0], b.rest[1:]
	}
	return &http.Response{
		StatusCode: status, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
		Header: http.Header{"Content-Type": {"application/json"}},
	}, nil
}

// Whatever the API server answers: reading ends, and either with an error of ours or
// with each object counted once.
func FuzzList(f *testing.F) {
	list := answer{items: []string{"a", "b"}, next: "token"}.text()
	f.Add(uint16(200), []byte(list), []byte(answer{items: []string{"c"}}.text()))
	f.Add(uint16(200), []byte(list), []byte(answer{status: 410, next: "later"}.text()))
	f.Add(uint16(200), []byte(list[:len(list)/2]), []byte(`[]`))
	f.Add(uint16(410), []byte(answer{status: 410, next: "later"}.text()), []byte(`{"items":null}`))
	f.Add(uint16(403), []byte(`{"kind":"Status","message":5}`), []byte{})
	f.Add(uint16(200), []byte(`{"metadata":{"continue":{}},"items":[null,5,{"metadata":{"uid":"a"}}]}`), []byte{})
	f.Add(uint16(500), []byte("\xff\x00<html>"), []byte{})
	names, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status uint16, first, second []byte) {
		answers := &bodies{status: 200 + int(status)%400, rest: [][]byte{first, second}}
		client, err := NewClient(&rest.Config{Host: "http://host", Transport: answers}, "test")
		if err != nil {
			t.Fatal(err)
		}
		client.retry = retry.Policy{}
		var stats extract.Stats
		records := int64(0)
		err = client.Sources(names)[0].Extract(t.Context(), record.Window{}, &stats, func(record.Record) error { records++; return nil })
		if _, ok := errors.AsType[*extract.Error](err); err != nil && !ok {
			t.Errorf("error is %v", err)
		}
		if err == nil && stats.Invalid+records > stats.Objects {
			t.Errorf("of %d objects, %d are invalid, %d are records", stats.Objects, stats.Invalid, records)
		}
		if err := client.Get(t.Context(), "/api/v1/namespaces/default", &struct{ Metadata struct{ UID string } }{}); err != nil {
			if _, ok := errors.AsType[*extract.Error](err); !ok {
				t.Errorf("get: %v", err)
			}
		}
	})
}
