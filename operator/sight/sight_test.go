// SPDX-License-Identifier: Apache-2.0

package sight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// server is a resource with at most one object.
type server struct {
	dynamic.ResourceInterface

	mu            sync.Mutex
	err, watchErr error
	object        *unstructured.Unstructured
	events        *watch.FakeWatcher
	lists         int
	watched       metav1.ListOptions
}

func (s *server) List(_ context.Context, options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	if options.FieldSelector != "metadata.name=konflux" {
		return nil, errors.New("all objects are asked for")
	}
	if s.err != nil {
		return nil, s.err
	}
	list := &unstructured.UnstructuredList{}
	list.SetResourceVersion("7")
	if s.object != nil {
		list.Items = append(list.Items, *s.object)
	}
	return list, nil
}

func (s *server) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchErr != nil {
		return nil, s.watchErr
	}
	s.watched, s.events = options, watch.NewFake()
	events := s.events
	context.AfterFunc(ctx, func() { events.Stop() })
	return events, nil
}

// fail makes lists and watches fail with these errors from now on.
func (s *server) fail(list, watch error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.watchErr = list, watch
}

// asked returns what was asked of the server: the number of lists, the watch and its options.
func (s *server) asked() (int, *watch.FakeWatcher, metav1.ListOptions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists, s.events, s.watched
}

func (s *server) put(object *unstructured.Unstructured) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.object = object
}

func version(v string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetName("konflux")
	u.SetResourceVersion(v)
	return u
}

var (
	resource     = schema.GroupResource{Group: "konflux.konflux-ci.dev", Resource: "konfluxes"}
	errForbidden = apierrors.NewForbidden(resource, "konflux", nil)
	errNotFound  = apierrors.NewNotFound(resource, "")
	errRefused   = errors.New("connection refused")
)

func TestObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{err: errNotFound}
		var changes atomic.Int64
		o := New(s, "konflux", func() { changes.Add(1) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { o.Run(ctx); close(done) }()
		expect := func(when string, want State, wantVersion string, wantChanges int64) {
			t.Helper()
			synctest.Wait()
			got, object := o.Look()
			v := ""
			if object != nil {
				v = object.GetResourceVersion()
			}
			if got != want || v != wantVersion || changes.Load() != wantChanges {
				t.Fatalf("%s: state %d, version %q, %d changes; want %d, %q, %d", when, got, v, changes.Load(), want, wantVersion, wantChanges)
			}
		}
		events := func() *watch.FakeWatcher { _, w, _ := s.asked(); return w }
		expect("kind missing", NoKind, "", 1)
		<-o.First()
		time.Sleep(time.Hour)
		expect("an hour later", NoKind, "", 1)
		if lists, _, _ := s.asked(); lists > 16 {
			t.Errorf("%d lists in an hour for a kind that is missing", lists)
		}
		s.fail(nil, nil)
		o.Poke()
		expect("kind installed", Absent, "", 2)
		events().Add(version("8"))
		expect("created", Present, "8", 3)
		events().Action(watch.Bookmark, version("9"))
		expect("bookmark", Present, "8", 3)
		lists, w, _ := s.asked()
		time.Sleep(time.Minute)
		w.Stop()
		expect("watch over", Present, "8", 3)
		if again, _, options := s.asked(); again != lists || options.ResourceVersion != "9" || *options.TimeoutSeconds != 3600 {
			t.Errorf("a watch that is over is not gone on with where it ended: %+v", options)
		}
		s.put(version("10"))
		events().Error(&apierrors.NewResourceExpired("").ErrStatus)
		time.Sleep(time.Minute)
		expect("version forgotten", Present, "10", 4)
		events().Modify(version("11"))
		expect("modified", Present, "11", 5)
		s.fail(errForbidden, errForbidden)
		events().Stop()
		time.Sleep(time.Minute)
		expect("forbidden", Unreadable, "", 6)
		s.fail(nil, errForbidden)
		time.Sleep(time.Hour)
		expect("watching alone is forbidden", Unreadable, "", 6)
		s.fail(nil, nil)
		time.Sleep(lastDelay)
		expect("allowed", Present, "10", 7)
		s.fail(errRefused, errRefused)
		events().Stop()
		time.Sleep(10 * time.Second)
		expect("down for a moment", Present, "10", 7)
		time.Sleep(2 * time.Hour)
		expect("down", Unreadable, "", 8)
		s.fail(nil, nil)
		time.Sleep(lastDelay)
		expect("up", Present, "10", 9)
		events().Delete(version("12"))
		expect("deleted", Absent, "", 10)
		cancel()
		<-done
	})
}

// A watch that ends at once, over and over, does not become a storm of requests.
func TestShortWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		o := New(s, "konflux", func() {})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { o.Run(ctx); close(done) }()
		for range 20 {
			synctest.Wait()
			_, events, _ := s.asked()
			events.Stop()
		}
		time.Sleep(time.Second / 2)
		synctest.Wait()
		if lists, _, _ := s.asked(); lists > 2 {
			t.Errorf("%d lists in half a second", lists)
		}
		cancel()
		<-done
	})
}
