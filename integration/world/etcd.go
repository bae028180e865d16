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
	etcdRange struct {
		Key []byte `json:"key"`
	}
	etcdRangeAnswer struct {
		KVs []etcdPut `json:"kvs"`
	}
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
	var now etcdPutAnswer
	if err := post(ctx, c.etcd+"/v3/kv/put", etcdPut{Key: []byte("/world/compaction")}, &now); err != nil {
		return fmt.Errorf("compact etcd: %w", err)
	}
	if err := post(ctx, c.etcd+"/v3/kv/compaction", etcdCompaction{Revision: now.Header.Revision, Physical: true}, &struct{}{}); err != nil {
		return fmt.Errorf("compact etcd: %w", err)
	}
	return nil
}

// Backdate gives a stored object another creationTimestamp, which the API server lets nobody choose. It works for
// namespaces and custom resources.
func (c *Cluster) Backdate(ctx context.Context, object *unstructured.Unstructured, created time.Time) error {
	mapping, err := c.mapping(object.GroupVersionKind())
	if err != nil {
		return err
	}
	key := etcdKey(mapping.Resource.GroupResource(), object.GetNamespace(), object.GetName())
	var found etcdRangeAnswer
	if err := post(ctx, c.etcd+"/v3/kv/range", etcdRange{Key: []byte(key)}, &found); err != nil {
		return fmt.Errorf("backdate %s: %w", key, err)
	}
	if len(found.KVs) != 1 {
		return fmt.Errorf("backdate %s: etcd has no such key", key)
	}
	var stored unstructured.Unstructured
	if err := stored.UnmarshalJSON(found.KVs[0].Value); err != nil {
		return fmt.Errorf("backdate %s: decode the stored object: %w", key, err)
	}
	stored.SetCreationTimestamp(metav1.NewTime(created))
	value, err := stored.MarshalJSON()
	if err != nil {
		return fmt.Errorf("backdate %s: %w", key, err)
	}
	if err := post(ctx, c.etcd+"/v3/kv/put", etcdPut{Key: []byte(key), Value: value}, &struct{}{}); err != nil {
		return fmt.Errorf("backdate %s: %w", key, err)
	}
	return nil
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
