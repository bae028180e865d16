// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
)

const (
	pageSize = 500 // objects in one request
	// maxObjects is how many objects of one kind are looked at. Where there are more, the
	// metric has no value: a part is not the whole.
	maxObjects = 200_000
)

var errTooMany = fmt.Errorf("read a list: it has more than %d objects", maxObjects)

// An objectMeta is what is read of an object's metadata.
type objectMeta struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	CreationTimestamp string            `json:"creationTimestamp"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	OwnerReferences   []ownerReference  `json:"ownerReferences"`
	ManagedFields     []managedField    `json:"managedFields"`
}

type ownerReference struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Controller bool   `json:"controller"`
}

type managedField struct {
	Manager     string `json:"manager"`
	Time        string `json:"time"`
	Subresource string `json:"subresource"`
}

// An object is one of which the metadata is all that matters.
type object struct {
	Metadata objectMeta `json:"metadata"`
}

type listMeta struct {
	Continue  string `json:"continue"`
	Remaining *int64 `json:"remainingItemCount"`
}

// count returns how many objects there are at path. Mostly that is one request for one
// object, since the server says how many more there are. It need not: then the pages
// are counted.
func (c *Client) count(ctx context.Context, path string) (int64, error) {
	var n int64
	meta, err := page(ctx, c, path, metadata, 1, "", func(*struct{}) { n++ })
	switch {
	case err != nil:
		return 0, err
	case meta.Continue == "":
		return n, nil
	case meta.Remaining != nil && *meta.Remaining > 0:
		return n + *meta.Remaining, nil
	default: // not said, or not plausible: there is at least one more
		return fold(ctx, c, path, metadata, func(n *int64, _ *struct{}) { *n++ })
	}
}

// fold reads the list at path page by page and hands each object to add, which sums up
// what matters in S. Memory holds one object at a time. A list that is too old before
// its end is read once more from its beginning, with a new S.
func fold[T, S any](ctx context.Context, c *Client, path, accept string, add func(*S, *T)) (S, error) {
	var none S
	for again := true; ; again = false {
		var sum S
		err := pages(ctx, c, path, accept, func(item *T) { add(&sum, item) })
		if err == nil {
			return sum, nil
		}
		if !again || !errors.Is(err, gone) {
			return none, err
		}
	}
}

func pages[T any](ctx context.Context, c *Client, path, accept string, visit func(*T)) error {
	next := ""
	for range maxObjects / pageSize {
		meta, err := page(ctx, c, path, accept, pageSize, next, visit)
		if err != nil || meta.Continue == "" {
			return err
		}
		next = meta.Continue
	}
	return errTooMany
}

// page reads one page. No resourceVersion is asked for: with one, a server may ignore
// the limit.
func page[T any](ctx context.Context, c *Client, path, accept string, limit int, next string, visit func(*T)) (listMeta, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if next != "" {
		query.Set("continue", next)
	}
	var meta listMeta
	err := c.read(ctx, path+"?"+query.Encode(), accept, func(body io.Reader) (err error) {
		meta, err = decodeList(body, visit)
		return err
	})
	return meta, err
}

var errNoList = errors.New("this is not a whole list")

// decodeList reads a list and hands each of its items to visit, one at a time.
func decodeList[T any](body io.Reader, visit func(*T)) (listMeta, error) {
	var meta listMeta
	found := false
	d := json.NewDecoder(body)
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return meta, errNoList
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return meta, err
		}
		switch key {
		case "metadata":
			err = d.Decode(&meta)
		case "items":
			found = true
			err = decodeItems(d, visit)
		default:
			err = d.Decode(new(skipped))
		}
		if err != nil {
			return meta, err
		}
	}
	if _, err := d.Token(); err != nil || !found {
		return meta, errNoList
	}
	return meta, nil
}

func decodeItems[T any](d *json.Decoder, visit func(*T)) error {
	start, err := d.Token()
	if err != nil || start == nil { // "items": null is a list without items
		return err
	}
	if start != json.Delim('[') {
		return errNoList
	}
	for d.More() {
		var item T
		if err := d.Decode(&item); err != nil {
			return err
		}
		visit(&item)
	}
	_, err = d.Token()
	return err
}

// skipped is any JSON, of which nothing is kept.
type skipped struct{}

// UnmarshalJSON implements [json.Unmarshaler].
func (*skipped) UnmarshalJSON([]byte) error { return nil }
