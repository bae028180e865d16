// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestDecodeList(t *testing.T) {
	tests := map[string]struct {
		body string
		want int // -1 is an error
		next string
	}{
		"items":                {`{"kind":"PodList","metadata":{"continue":"x"},"items":[{},{"spec":{"a":[1]}}]}`, 2, "x"},
		"metadata comes after": {`{"items":[{}],"metadata":{"continue":"x"},"more":{"items":[{},{}]}}`, 1, "x"},
		"none":                 {`{"items":[],"metadata":{}}`, 0, ""},
		"null":                 {`{"metadata":{},"items":null}`, 0, ""},
		"not a list":           {`{"kind":"Status"}`, -1, ""},
		"not an object":        {`[{}]`, -1, ""},
		"items of another type": {
			`{"items":{}}`, -1, "",
		},
		"cut between items": {`{"items":[{},`, -1, ""},
		"cut in an item":    {`{"items":[{"a":`, -1, ""},
		"cut at the end":    {`{"items":[{}]`, -1, ""},
		"empty":             {``, -1, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := 0
			meta, err := decodeList(strings.NewReader(tt.body), func(*object) { n++ })
			if err != nil {
				n = -1
			}
			if n != tt.want || err == nil && meta.Continue != tt.next {
				t.Errorf("%d items, next %q, error %v, want %d, %q", n, meta.Continue, err, tt.want, tt.next)
			}
		})
	}
}

func FuzzDecodeList(f *testing.F) {
	f.Add([]byte(`{"kind":"PodList","metadata":{"continue":"x","remainingItemCount":3},"items":[{"metadata":{"name":"a"}},null]}`))
	f.Add([]byte(`{"items":[[]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		n := 0
		_, err := decodeList(bytes.NewReader(body), func(*struct{}) { n++ })
		var list struct {
			Items []json.RawMessage `json:"items"`
		}
		// Where the whole is one object with items once, both readers agree on how many.
		if err == nil && bytes.Count(bytes.ToLower(body), []byte(`items"`)) == 1 && json.Unmarshal(body, &list) == nil && n != len(list.Items) {
			t.Errorf("%d items, want %d", n, len(list.Items))
		}
	})
}
