// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// Marker is part of every made-up name. It is in nothing else.
const Marker = "quokka"

const (
	usersPerTenant = 3
	managedPrefix  = Marker + "-managed-"
)

// Names lists every made-up name, each once, in order: namespaces, users, e-mail
// addresses, organisations, components (repositories are called the same),
// applications, repository URLs, images, snapshots, releases, PipelineRuns and
// commit subjects, and the commit hashes, which alone do without Marker.
func (c *Cluster) Names() []string {
	names := []string{managedPrefix}
	for i, tenant := range c.Tenants {
		names = append(names, tenant.Name, tenant.org)
		for k := range usersPerTenant {
			user := userName(i*usersPerTenant + k)
			names = append(names, user, emailOf(user))
		}
	}
	for _, namespace := range otherNamespaces {
		if namespace.invented {
			names = append(names, namespace.name)
		}
	}
	for _, component := range c.Components {
		names = append(names, component.Name, component.suite, component.gitURL, component.image)
	}
	for run := range c.Runs() {
		names = append(names, run.Name, run.snapshot, run.release, run.Subject, run.SHA)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func tenantName(i int) string { return "team-" + Marker + "-" + word(places, i) + "-tenant" }

func orgName(i int) string { return Marker + "-" + word(places, i) + "-works" }

func userName(i int) string { return Marker + "-" + word(birds, i) }

func emailOf(user string) string { return user + "@mail.example.com" }

func componentName(tenant, number int) string {
	return Marker + "-" + word(places, tenant) + "-" + word(roles, number)
}

// applicationName groups up to five components.
func applicationName(tenant, number int) string {
	return word(places, tenant) + "-" + Marker + "-" + word(suites, number/5)
}

func imageName(tenant int, component string) string {
	return "registry.example.com/" + Marker + "-" + word(places, tenant) + "-images/" + component
}

func commitSubject(random *rand.Rand) string {
	return fmt.Sprintf("%s the %s %s %s (#%d)", pick(random, verbs), Marker, pick(random, nouns), pick(random, reasons), 1+random.IntN(9999))
}

func snapshotName(application string, at time.Time) string {
	return application + at.Format("-20060102-150405-000")
}

// word is the i-th word; when they are used up, a number follows.
func word(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return words[i%len(words)] + strconv.Itoa(i/len(words)+1)
}

func pick(random *rand.Rand, words []string) string { return words[random.IntN(len(words))] }

// suffixOf is what the API server appends to generateName, different for each of
// 27^5 runs.
func suffixOf(i int, seed uint64) string {
	const alphabet, all = "bcdfghjklmnpqrstvwxz2456789", 27 * 27 * 27 * 27 * 27
	n := (uint64(i)*8867921 + seed%all) % all
	var suffix [5]byte
	for k := range suffix {
		suffix[len(suffix)-1-k] = alphabet[n%27]
		n /= 27
	}
	return string(suffix[:])
}

func newUUID(random *rand.Rand) string {
	hi, lo := random.Uint64()&^0xF000|0x4000, random.Uint64()&^(3<<62)|1<<63
	digits := hex16(make([]byte, 0, 36), hi)
	digits = hex16(digits, lo)
	return string(digits[:8]) + "-" + string(digits[8:12]) + "-" + string(digits[12:16]) + "-" + string(digits[16:20]) + "-" + string(digits[20:])
}

// randomHex has n digits.
func randomHex(random *rand.Rand, n int) string {
	var digits [64]byte
	text := digits[:0]
	for len(text) < n {
		text = hex16(text, random.Uint64())
	}
	return string(text[:n])
}

func hex16(dst []byte, n uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[n>>shift&15])
	}
	return dst
}

// digestOf is a digest as a registry would give for something called word.
func digestOf(word string) string {
	sum := sha256.Sum256([]byte(word))
	return hex.EncodeToString(sum[:])
}

var (
	places = []string{
		"releng", "checkout", "ledger", "lantern", "meadow", "harbor", "compass", "orchard", "granite", "juniper",
		"saffron", "willow", "cobalt", "ember", "fjord", "glacier", "indigo", "jasper", "lagoon", "marble",
	}
	birds = []string{
		"wren", "heron", "kestrel", "plover", "dunnock", "siskin", "avocet", "linnet", "curlew", "bittern", "whimbrel",
		"redstart", "goldcrest", "chiffchaff", "nuthatch", "fieldfare", "pipit", "dotterel", "garganey", "smew",
	}
	roles = []string{
		"frontend", "api", "worker", "operator", "bundle", "gateway", "importer", "scheduler", "console", "exporter",
	}
	suites = []string{"storefront", "platform", "backoffice", "toolbox"}
	verbs  = []string{"Retry", "Simplify", "Speed up", "Document", "Rework", "Bound", "Test", "Fix", "Trace", "Drop"}
	nouns  = []string{
		"cache", "login page", "upload queue", "retry budget", "session store", "invoice export", "price index",
		"webhook", "search box", "health check", "schema migration", "feature flag",
	}
	reasons = []string{
		"after a restart", "when the disk is full", "for large orders", "behind a proxy", "on slow links",
		"during failover", "without a timeout", "in the nightly job", "for new tenants", "before the next release",
	}
)
