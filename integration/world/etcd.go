// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"context"
	"fmt"
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
// creationTimestamp. It works for namespaces and custom resources, and replaces what is there. Thousands take seconds.
func (c *Cluster) Plant(ctx context.Context, objects ...[]byte) error {
	return concurrently(ctx, len(objects), func(ctx context.Context, i int) error {
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(objects[i]); err != nil {
			return fmt.Errorf("plant object %d: %w", i, err)
		}
		return c.plant(ctx, &object)
	})
}

// Backdate gives a stored object another creationTimestamp.
func (c *Cluster) Backdate(ctx context.Context, object *unstructured.Unstructured, created time.Time) error {
	object = object.DeepCopy()
	object.SetCreationTimestamp(metav1.NewTime(created))
	return c.plant(ctx, object)
}

func (c *Cluster) plant(ctx context.Context, object *unstructured.Unstructured) error {
	mapping, err := c.mapping(object.GroupVersionKind())
	if err != nil {
		return err
	}
	key := etcdKey(mapping.Resource.GroupResource(), object.GetNamespace(), object.GetName())
	if created := object.GetCreationTimestamp(); object.GetUID() == "" || created.IsZero() {
		return fmt.Errorf("plant %s: it needs a UID and a creationTimestamp", key)
	}
	object.SetResourceVersion("")
	value, err := object.MarshalJSON()
	if err != nil {
		return fmt.Errorf("plant %s: %w", key, err)
	}
	if _, err := c.put(ctx, key, value); err != nil {
		return fmt.Errorf("plant %s: %w", key, err)
	}
	return nil
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
	key := "/registry/"
	if resource.Group != "" {
		key += resource.Group + "/"
	}
	key += resource.Resource + "/"
	if namespace != "" {
		key += namespace + "/"
	}
	return key + name
}
