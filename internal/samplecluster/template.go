// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A template is a JSON object written out up to the parts that differ between
// runs. Its source is JSON with three additions, all inside strings:
//
//	"{{name}}"         the value of a field, see fields
//	"key ?state"       a member that is there only in that state, see states
//	"{{children}}"     the child references, {{skipped}} the skipped tasks
//	"{{pipeline}}"     the pipeline, {{resolved}} with its parameters filled in
//	"{{fields of X}}"  X as the API server keeps it in managedFields
//	"{{digest X}}"     a digest made from the word X, {{commit X}} a commit hash
type template struct {
	segments []segment
	tasks    []task
	size     int // length of the text of all segments
}

// A segment is text, or a field when that is set, in states that hold all of when.
type segment struct {
	text  string
	field func(*filling) string
	list  func(*filling, []byte) []byte
	comma bool // text starts with a comma that the first member does without
	when  state
}

// A task of a pipeline, with the parts of the JSON that refers to it.
type task struct {
	child, skipped string
}

// append adds the object to dst.
func (t *template) append(dst []byte, f *filling) []byte {
	for i := range t.segments {
		s := &t.segments[i]
		switch {
		case s.when&^f.state != 0:
		case s.field != nil:
			dst = append(dst, s.field(f)...)
		case s.list != nil:
			dst = s.list(f, dst)
		case s.comma && (dst[len(dst)-1] == '{' || dst[len(dst)-1] == '['):
			dst = append(dst, s.text[1:]...)
		default:
			dst = append(dst, s.text...)
		}
	}
	return dst
}

// compile reads a template and its pipeline; a mistake in them is one of the
// program and panics.
func compile(run, pipeline string) *template {
	var values struct{ Spec struct{ Params []param } }
	var spec struct {
		Params         []param
		Tasks, Finally []struct {
			Name string
			When json.RawMessage
		}
	}
	c := compiler{object: make(map[string]any), pipeline: make(map[string]any)}
	parse(run, &values, &c.object)
	parse(pipeline, &spec, &c.pipeline)

	c.params = replacer(append(values.Spec.Params, spec.Params...))
	for _, t := range append(spec.Tasks, spec.Finally...) {
		when := ""
		if len(t.When) > 0 {
			when = `,"whenExpressions":` + c.params.Replace(marshal(t.When))
		}
		c.template.tasks = append(c.template.tasks, task{
			child:   "-" + t.Name + `","pipelineTaskName":"` + t.Name + `"` + when + `}`,
			skipped: `{"name":"` + t.Name + `"` + when + `,"reason":"`,
		})
	}
	c.value(c.object, 0)
	for _, s := range c.template.segments {
		c.template.size += len(s.text)
	}
	return &c.template
}

type compiler struct {
	template         template
	object, pipeline map[string]any
	params           *strings.Replacer
	resolve          bool // replace parameters in strings
}

// A param is a parameter of a run, or of a pipeline with its default.
type param struct {
	Name           string
	Value, Default any
}

func parse(text string, into ...any) {
	for _, v := range into {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			panic(fmt.Sprintf("samplecluster: read template: %v", err))
		}
	}
}

// replacer replaces $(params.x) by the first value that x has.
func replacer(params []param) *strings.Replacer {
	var pairs []string
	for _, p := range params {
		for _, value := range []any{p.Value, p.Default} {
			if text, ok := value.(string); ok {
				pairs = append(pairs, "$(params."+p.Name+")", text)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// value compiles a value that is there in states that hold all of when. Members
// are in the order of their names, as the API server writes them.
func (c *compiler) value(value any, when state) {
	switch v := value.(type) {
	case map[string]any:
		c.text("{", when)
		first := true
		for _, key := range slices.Sorted(maps.Keys(v)) {
			name, condition, _ := strings.Cut(key, " ?")
			present := when | parseState(condition)
			first = c.comma(first, present, when)
			c.string(name, present)
			c.text(":", present)
			c.value(v[key], present)
		}
		c.text("}", when)
	case []any:
		c.text("[", when)
		first := true
		for _, item := range v {
			present := when
			if object, ok := item.(map[string]any); ok {
				condition, _ := object["?"].(string)
				present |= parseState(condition)
				delete(object, "?")
			}
			first = c.comma(first, present, when)
			c.value(item, present)
		}
		c.text("]", when)
	case string:
		c.special(v, when)
	default:
		c.text(marshal(v), when)
	}
}

// comma separates a member from the one before, and reports whether the next one
// can still be the first, all before it being conditional.
func (c *compiler) comma(first bool, present, when state) bool {
	if first {
		c.add(segment{text: ",", comma: true, when: present})
		return present != when
	}
	c.text(",", present)
	return false
}

// special compiles a string, or what the whole string stands for.
func (c *compiler) special(text string, when state) {
	switch {
	case text == "{{children}}":
		c.add(segment{list: (*filling).appendChildren, when: when})
	case text == "{{skipped}}":
		c.add(segment{list: (*filling).appendSkipped, when: when})
	case text == "{{pipeline}}":
		c.value(c.pipeline, when)
	case text == "{{resolved}}":
		c.resolve = true
		c.value(c.pipeline, when)
		c.resolve = false
	case strings.HasPrefix(text, "{{fields of "):
		c.value(c.fieldsOf(strings.Fields(strings.Trim(text, "{}"))[2:]), when)
	default:
		c.string(text, when)
	}
}

// fieldsOf lists the fields at the paths, of the form X or X.Y, as managedFields
// does.
func (c *compiler) fieldsOf(paths []string) map[string]any {
	all := make(map[string]any)
	for _, path := range paths {
		section, key, nested := strings.Cut(path, ".")
		if !nested {
			all["f:"+section] = c.owned(c.object[section])
			continue
		}
		object, _ := c.object[section].(map[string]any)
		fields, _ := all["f:"+section].(map[string]any)
		if fields == nil {
			fields = make(map[string]any)
			all["f:"+section] = fields
		}
		fields["f:"+key] = c.owned(object[key])
	}
	return all
}

func (c *compiler) owned(value any) map[string]any {
	if value == "{{pipeline}}" || value == "{{resolved}}" {
		value = c.pipeline
	}
	object, ok := value.(map[string]any)
	if !ok {
		return map[string]any{}
	}
	fields := map[string]any{".": map[string]any{}}
	for key, member := range object {
		fields["f:"+key] = c.owned(member)
	}
	return fields
}

// string compiles a string with fields in it.
func (c *compiler) string(text string, when state) {
	if c.resolve {
		text = c.params.Replace(text)
	}
	quoted := marshal(text)
	for {
		before, rest, found := strings.Cut(quoted, "{{")
		c.text(before, when)
		if !found {
			return
		}
		name, after, _ := strings.Cut(rest, "}}")
		if word, isDigest := strings.CutPrefix(name, "digest "); isDigest {
			c.text("sha256:"+digestOf(word), when)
		} else if word, isCommit := strings.CutPrefix(name, "commit "); isCommit {
			c.text(digestOf(word)[:40], when)
		} else if field := fields[name]; field != nil {
			c.add(segment{field: field, when: when})
		} else {
			panic("samplecluster: no such field in a template: " + name)
		}
		quoted = after
	}
}

// text adds text to the last segment where it can.
func (c *compiler) text(text string, when state) {
	if n := len(c.template.segments); n > 0 {
		if last := &c.template.segments[n-1]; last.field == nil && last.list == nil && last.when == when {
			last.text += text
			return
		}
	}
	c.add(segment{text: text, when: when})
}

func (c *compiler) add(s segment) { c.template.segments = append(c.template.segments, s) }

func marshal(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("samplecluster: write template: %v", err))
	}
	return string(text)
}
