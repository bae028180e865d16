// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"iter"
	"math/rand/v2"
	"time"
)

// A Config says what cluster to make up. Zero numbers mean the default.
type Config struct {
	// Seed tells clusters of the same size apart.
	Seed uint64
	// Now is the moment at which the cluster is seen. The zero time means noon of
	// 15 January 2026, so that golden files need no clock.
	Now time.Time
	// Tenants is the number of tenant namespaces, by default 12.
	Tenants int
	// Components is the number of components, by default 60.
	Components int
	// Runs is the number of PipelineRuns, by default 300: each kind with each
	// outcome in its share. 25 hold every outcome.
	Runs int
}

// An Object is a Kubernetes object.
type Object struct {
	APIVersion, Kind, Namespace, Name, UID string
	// JSON is the object in compact form. It belongs to the caller.
	JSON []byte
}

// A Cluster is made up. It is safe for concurrent use.
type Cluster struct {
	// ID identifies the cluster; it stands in info.json.
	ID string
	// KonfluxVersion and KubernetesVersion stand in info.json.
	KonfluxVersion, KubernetesVersion string
	// Now is the moment at which the cluster is seen.
	Now time.Time
	// Installation is the Konflux resource.
	Installation Installation
	// Tenants are the tenant namespaces. Those created last have no runs yet.
	Tenants []Tenant
	// Components are the components. Those created last have no runs yet.
	Components []Component

	seed      uint64
	runs      int
	active    int // the components that have runs are the first
	templates [kinds]*template
}

// An Installation is the Konflux resource: cluster-scoped, ready.
type Installation struct {
	Name, UID      string
	Created, Ready time.Time
}

// A Tenant is a namespace of a team.
type Tenant struct {
	Name, UID string
	Created   time.Time

	org, owner string
}

// A Component is what a team builds.
type Component struct {
	Namespace, Name, UID string
	// Application is empty for some.
	Application string
	Created     time.Time

	org, gitURL, image, suite string
}

// The cluster's past: installed a week ago, then the teams came, then the
// components, and three days of runs.
const (
	installed = 7 * 24 * time.Hour
	settled   = 6 * 24 * time.Hour
	busy      = 3 * 24 * time.Hour
	recent    = 4 * time.Hour
)

// New makes up a cluster.
func New(config Config) *Cluster {
	c := &Cluster{
		KonfluxVersion:    "v0.1.9",
		KubernetesVersion: "v1.36.3",
		Now:               config.Now.UTC().Truncate(time.Second),
		seed:              config.Seed,
		runs:              orDefault(config.Runs, 300),
		templates:         compileAll(),
	}
	if config.Now.IsZero() {
		c.Now = time.Date(2026, time.January, 15, 12, 0, 0, 0, time.UTC)
	}
	random := rand.New(rand.NewPCG(config.Seed, 0))
	c.ID = newUUID(random)
	created := c.Now.Add(-installed)
	c.Installation = Installation{Name: "konflux", UID: newUUID(random), Created: created, Ready: created.Add(14*time.Minute + 32*time.Second)}

	tenants := orDefault(config.Tenants, 12)
	for i := range tenants {
		c.Tenants = append(c.Tenants, Tenant{
			Name:    tenantName(i),
			UID:     newUUID(random),
			Created: c.between(random, i >= latest(tenants), settled, installed-time.Hour),
			org:     orgName(i),
			owner:   userName(i * usersPerTenant),
		})
	}
	components := orDefault(config.Components, 60)
	c.active = latest(components)
	owned := make([]int, tenants)
	for i := range components {
		// The newest teams have none but the newest components.
		owners := tenants
		if i < c.active {
			owners = latest(tenants)
		}
		tenant := i % owners
		c.Components = append(c.Components, c.newComponent(random, i, tenant, owned[tenant]))
		owned[tenant]++
	}
	return c
}

// latest is the number of things after which the recent ones begin.
func latest(n int) int { return n - n/10 }

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// between is a time at random: within the last hours, or that long ago.
func (c *Cluster) between(random *rand.Rand, isRecent bool, from, to time.Duration) time.Time {
	if isRecent {
		from, to = time.Minute, recent
	}
	return c.Now.Add(-from - time.Duration(random.Int64N(int64(to-from)))).Truncate(time.Second)
}

func (c *Cluster) newComponent(random *rand.Rand, i, tenant, number int) Component {
	name := componentName(tenant, number)
	component := Component{
		Namespace:   c.Tenants[tenant].Name,
		Name:        name,
		UID:         newUUID(random),
		Application: applicationName(tenant, number),
		Created:     c.between(random, i >= c.active, busy, settled),
		org:         c.Tenants[tenant].org,
		gitURL:      "https://git.example.com/" + c.Tenants[tenant].org + "/" + name,
		image:       imageName(tenant, name),
		suite:       applicationName(tenant, number),
	}
	if i%8 == 5 {
		component.Application = ""
	}
	return component
}

// Objects yields everything that is in the cluster now: namespaces, ConfigMap
// konflux-public-info, the Konflux resource, components and PipelineRuns.
func (c *Cluster) Objects() iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for object := range c.setting() {
			if !yield(object) {
				return
			}
		}
		for _, component := range c.Components {
			if !yield(component.Object()) {
				return
			}
		}
		for run := range c.Runs() {
			if !run.Pruned && !yield(run.Object(c.Now)) {
				return
			}
		}
	}
}

// Runs yields every run there ever was, pruned ones included.
func (c *Cluster) Runs() iter.Seq[Run] {
	return func(yield func(Run) bool) {
		for i := range c.runs {
			if !yield(c.Run(i)) {
				return
			}
		}
	}
}

// random is what the run's values are drawn from.
func (c *Cluster) random(i int, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(c.seed*0x9E3779B97F4A7C15+stream, uint64(i)+1))
}
