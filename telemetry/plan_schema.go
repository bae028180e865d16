// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"encoding/json"
	"regexp"
	"strings"
)

const (
	pseudonymPattern = "^[0-9a-f]{12}$"
	timePattern      = "^2[01][0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
	versionPattern   = `^v?[0-9]+(\.[0-9]+){0,3}([-+][0-9A-Za-z.+-]+)?$`
)

// JSONSchema returns the plan as a JSON Schema (draft 2020-12) of the track calls
// that may leave.
func (p *Plan) JSONSchema() []byte {
	variants := make([]any, len(p.Events))
	for i := range p.Events {
		variants[i] = p.Events[i].schema()
	}
	b, err := json.MarshalIndent(object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "Track calls of " + p.Name,
		"description": "Every event that may leave. Generated from the tracking plan; plan hash " + p.Hash() + ".",
		"oneOf":       variants,
	}, "", "  ")
	if err != nil { // strings and numbers
		panic(err)
	}
	return append(b, '\n')
}

type object = map[string]any

func (e *EventSpec) schema() object {
	properties, required := object{}, []string{}
	for i := range e.Properties {
		s := &e.Properties[i]
		properties[s.Name] = s.schema()
		if !s.Optional {
			required = append(required, s.Name)
		}
	}
	suffix := regexp.QuoteMeta(e.MessageID[strings.LastIndexByte(e.MessageID, '>')+1:])
	return object{
		"title":                e.Name,
		"description":          e.Question,
		"type":                 "object",
		"additionalProperties": false,
		"required":             []string{"type", "messageId", "anonymousId", "event", "timestamp", "context", "properties"},
		"properties": object{
			"type":        object{"const": "track"},
			"messageId":   object{"type": "string", "maxLength": MaxMessageIDBytes, "pattern": "^[0-9A-Za-z.:_-]+" + suffix + "$"},
			"anonymousId": object{"const": anonymousID},
			"event":       object{"const": e.Name},
			"timestamp":   object{"type": "string", "format": "date-time", "pattern": timePattern, "description": e.Timestamp},
			"context": object{
				"type": "object", "additionalProperties": false, "required": []string{"library", "device"},
				"properties": object{
					"library": object{
						"type": "object", "additionalProperties": false, "required": []string{"name", "version"},
						"properties": object{"name": object{"type": "string"}, "version": object{"type": "string"}},
					},
					"device": object{
						"type": "object", "additionalProperties": false, "required": []string{"id"},
						"properties": object{"id": object{"type": "string", "pattern": pseudonymPattern}},
					},
				},
			},
			"properties": object{
				"type": "object", "additionalProperties": false, "required": required, "properties": properties,
			},
		},
	}
}

func (s *PropertySpec) schema() object {
	schema := object{"description": s.Why()}
	typ := "string"
	switch s.Type {
	case TypePseudonym:
		schema["pattern"] = pseudonymPattern
	case TypeEnum:
		list := make([]any, 0, len(s.Words)+1)
		for _, word := range s.Words {
			list = append(list, word)
		}
		if s.Nullable {
			list = append(list, nil)
		}
		schema["enum"] = list
	case TypeInteger:
		typ = "integer"
		s.constrain(schema)
	case TypeSet:
		typ = "array"
		schema["items"], schema["uniqueItems"] = object{"enum": s.Words}, true
	case TypeCounts:
		typ = "object"
		number := object{"type": "integer"}
		s.constrain(number)
		schema["propertyNames"], schema["additionalProperties"] = object{"enum": s.Words}, number
	case TypeBoolean:
		typ = "boolean"
	case TypeTime:
		schema["format"], schema["pattern"] = "date-time", timePattern
	case TypeVersion:
		schema["pattern"], schema["maxLength"] = versionPattern, maxVersionBytes
	}
	schema["type"] = typ
	if s.Nullable {
		schema["type"] = []string{typ, "null"}
	}
	return schema
}

// constrain adds what a number of the property may be.
func (s *PropertySpec) constrain(schema object) {
	if len(s.Buckets) > 0 {
		schema["enum"] = s.Buckets
	} else {
		schema["minimum"] = s.Minimum
	}
}
