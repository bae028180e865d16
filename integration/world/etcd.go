// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"context"
	"fmt"
	"path"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// etcd's JSON interface writes int64 as strings and bytes as base64.
type (
	etcdPut struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	}
	etcdPutAnswer struct {
		Header struct {
			Revision int64 `json:"revision,string"`
		} `json:"header"`
	}
	etcdTransaction struct {
		Success []etcdOperation `json:"success"`
	}
	etcdOperation struct {
		Put etcdPut `json:"requestPut"`
	}
	etcdCompaction struct {
		Revision int64 `json:"revision,string"`
		Physical bool  `json:"physical"`
	}
)

// CompactNow makes etcd forget all revisions but the current one, as the API server does every five minutes. Afterwards
// every continue token that was given out before answers 410 Gone, reason Expired.
func (c *Cluster) CompactNow(ctx context.Context) error {
	// The current revision stays readable, so begin another one.
	now, err := c.put(ctx, "/world/compaction", nil)
	if err != nil {
		return fmt.Errorf("compact etcd: %w", err)
	}
	if err := post(ctx, c.etcd+"/v3/kv/compaction", etcdCompaction{Revision: now, Physical: true}, &struct{}{}); err != nil {
		return fmt.Errorf("compact etcd: %w", err)
	}
	return nil
}

// Plant puts objects, given as JSON, into the API server's storage exactly as they are: with the UID, the times and the
// status they have, which the server lets nobody choose, and without its checks. Each needs a UID and a
// creationTimestamp. It works for namespaces, pods, services, EndpointSlices and custom resources, and replaces what is
// there. Ten thousands take seconds.
func (c *Cluster) Plant(ctx context.Context, objects ...[]byte) error {
	puts := make([]etcdPut, len(objects))
	for i, text := range objects {
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(text); err != nil {
			return fmt.Errorf("plant object %d: %w", i, err)
		}
		var err error
		if puts[i], err = c.seed(&object); err != nil {
			return err
		}
	}
	// As much as etcd takes in a transaction.
	const most, size = 100, 1 << 20
	var batches []etcdTransaction
	room := 0
	for _, put := range puts {
		if room -= len(put.Value); room < 0 || len(batches[len(batches)-1].Success) == most {
			batches, room = append(batches, etcdTransaction{}), size-len(put.Value)
		}
		last := &batches[len(batches)-1]
		last.Success = append(last.Success, etcdOperation{put})
	}
	err := concurrently(ctx, len(batches), func(ctx context.Context, i int) error {
		return post(ctx, c.etcd+"/v3/kv/txn", batches[i], &struct{}{})
	})
	if err == nil {
		// The API server takes its cache to be at a revision when it has seen the first of the objects in it. Begin another
		// one, which comes after all of them.
		_, err = c.put(ctx, "/world/planted", nil)
	}
	if err != nil {
		return fmt.Errorf("plant objects: %w", err)
	}
	return nil
}

// Backdate gives a stored object another creationTimestamp.
func (c *Cluster) Backdate(ctx context.Context, object *unstructured.Unstructured, created time.Time) error {
	object = object.DeepCopy()
	object.SetCreationTimestamp(metav1.NewTime(created))
	seed, err := c.seed(object)
	if err != nil {
		return err
	}
	_, err = c.put(ctx, string(seed.Key), seed.Value)
	return err
}

// seed returns what the API server would have in etcd for an object.
func (c *Cluster) seed(object *unstructured.Unstructured) (etcdPut, error) {
	mapping, err := c.mapping(object.GroupVersionKind())
	if err != nil {
		return etcdPut{}, err
	}
	key := etcdKey(mapping.Resource.GroupResource(), object.GetNamespace(), object.GetName())
	if created := object.GetCreationTimestamp(); object.GetUID() == "" || created.IsZero() {
		return etcdPut{}, fmt.Errorf("plant %s: it needs a UID and a creationTimestamp", key)
	}
	object.SetResourceVersion("")
	value, err := object.MarshalJSON()
	if err != nil {
		return etcdPut{}, fmt.Errorf("plant %s: %w", key, err)
	}
	return etcdPut{Key: []byte(key), Value: value}, nil
}

// put stores a value in etcd and returns the revision that this made.
func (c *Cluster) put(ctx context.Context, key string, value []byte) (revision int64, err error) {
	var answer etcdPutAnswer
	err = post(ctx, c.etcd+"/v3/kv/put", etcdPut{Key: []byte(key), Value: value}, &answer)
	return answer.Header.Revision, err
}

// etcdKey is where the API server keeps an object: built-in resources without their group, cluster-scoped ones without
// a namespace.
func etcdKey(resource schema.GroupResource, namespace, name string) string {
	folder := resource.Resource
	switch resource {
	case schema.GroupResource{Resource: "services"}:
		folder = "services/specs"
	case schema.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"}:
	default:
		folder = path.Join(resource.Group, folder)
	}
	return path.Join("/registry", folder, namespace, name)
}
