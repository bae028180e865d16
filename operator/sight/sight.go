// SPDX-License-Identifier: Apache-2.0

// Package sight keeps single objects in view that belong to others. Such an object may come and go, its kind may be
// installed later or not at all, and the right to read it may be withdrawn: all of that is something to tell, and none of
// it stops the program. It takes one request an hour to look at an object that does not change.
package sight

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// A State is what is known of an object.
type State int

// What can be known of an object. At first it is unreadable.
const (
	Unreadable State = iota
	NoKind           // the API server does not know its kind
	Absent
	Present
)

const (
	watchSeconds = 60 * 60
	listTimeout  = time.Minute
	firstDelay   = time.Second
	// lastDelay is between two looks for what cannot be seen.
	lastDelay = 10 * time.Minute
	// patience is how often in a row looking may fail, other than for lack of rights, before what was known is doubted.
	patience = 6
)

// An Object is one object in view. Make it with [New].
type Object struct {
	resource dynamic.ResourceInterface
	name     string
	changed  func()
	first    chan struct{} // closed when something is known
	poked    chan struct{}

	mu       sync.Mutex
	state    State
	object   *unstructured.Unstructured
	failures int
}

// New returns the view of the object with this name. It calls changed, from a goroutine of its own, whenever there is
// something new to see.
func New(resource dynamic.ResourceInterface, name string, changed func()) *Object {
	return &Object{resource: resource, name: name, changed: changed, first: make(chan struct{}), poked: make(chan struct{}, 1)}
}

// Look returns what is known, and the object when it is present. It is not to be changed.
func (o *Object) Look() (State, *unstructured.Unstructured) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state, o.object
}

// First is closed when the first look came to something, or failed.
func (o *Object) First() <-chan struct{} { return o.first }

// Poke makes Run look again now where it found nothing to watch.
func (o *Object) Poke() {
	select {
	case o.poked <- struct{}{}:
	default:
	}
}

// Run looks until ctx is done.
func (o *Object) Run(ctx context.Context) {
	delay := firstDelay
	for ctx.Err() == nil {
		began := time.Now()
		err := o.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case apierrors.IsNotFound(err):
			o.see(NoKind, nil)
		case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
			o.see(Unreadable, nil)
		default:
			o.fail()
		}
		if time.Since(began) > lastDelay {
			delay = firstDelay // it went well for a while
		}
		select {
		case <-time.After(delay):
			delay = min(2*delay, lastDelay)
		case <-o.poked:
			delay = firstDelay
		case <-ctx.Done():
		}
	}
}

// follow lists and watches the object until that fails.
func (o *Object) follow(ctx context.Context) error {
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, o.name).String()}
	list, err := o.list(ctx, options)
	if err != nil {
		return err
	}
	options.ResourceVersion = list.GetResourceVersion()
	options.AllowWatchBookmarks = true
	options.TimeoutSeconds = new(int64(watchSeconds))
	// What was listed counts once it can be watched as well: else it would be seen and lost in turns.
	listed := func() {
		if len(list.Items) == 0 {
			o.see(Absent, nil)
		} else {
			o.see(Present, &list.Items[0])
		}
	}
	for {
		events, err := o.resource.Watch(ctx, options)
		if err != nil {
			return err
		}
		listed()
		listed = func() {}
		if options.ResourceVersion, err = o.drain(events, options.ResourceVersion); err != nil {
			return err
		}
	}
}

func (o *Object) list(ctx context.Context, options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	return o.resource.List(ctx, options)
}

// errShort is a watch that ended although its time was not over, without having told anything.
var errShort = errors.New("watch ended early")

// drain takes the events of a watch until it ends, and returns the version it got to.
func (o *Object) drain(events watch.Interface, version string) (string, error) {
	defer events.Stop()
	began, told := time.Now(), false
	for event := range events.ResultChan() {
		told = true
		object, ok := event.Object.(*unstructured.Unstructured)
		if !ok || event.Type == watch.Error {
			return "", apierrors.FromObject(event.Object)
		}
		version = object.GetResourceVersion()
		switch event.Type {
		case watch.Added, watch.Modified:
			o.see(Present, object)
		case watch.Deleted:
			o.see(Absent, nil)
		case watch.Bookmark, watch.Error:
		}
	}
	if !told && time.Since(began) < firstDelay {
		return "", errShort
	}
	return version, nil
}

func (o *Object) see(state State, object *unstructured.Unstructured) {
	o.mu.Lock()
	same := o.state == state && (object == nil || o.object.GetResourceVersion() == object.GetResourceVersion())
	o.state, o.object, o.failures = state, object, 0
	first := o.looked()
	o.mu.Unlock()
	if !same || first {
		o.changed()
	}
}

// fail doubts what is known after some failures; the first ones pass.
func (o *Object) fail() {
	o.mu.Lock()
	o.failures++
	doubt := o.failures == patience && o.state != Unreadable
	if doubt {
		o.state, o.object = Unreadable, nil
	}
	first := o.looked()
	o.mu.Unlock()
	if doubt || first {
		o.changed()
	}
}

// looked notes that there was a look, and reports whether it was the first.
func (o *Object) looked() bool {
	select {
	case <-o.first:
		return false
	default:
		close(o.first)
		return true
	}
}
