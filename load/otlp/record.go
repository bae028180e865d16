// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// An item is one event on its way.
type item struct {
	record  *logspb.LogRecord
	library library // that made the event
	verdict *telemetry.Verdict
}

type library struct{ Name, Version string }

// keyMessageID is the attribute by which a back end knows an event again.
const keyMessageID = "messageId"

const notATrack = "not a track call"

// latest is the last time that fits into nanoseconds.
var latest = time.Unix(0, 1<<63-1)

// newItem returns the item of an event, or its flaw.
func newItem(t *telemetry.Track) (it item, flaw string) {
	var call struct {
		MessageID, Event string
		Context          struct{ Library library }
		Properties       map[string]any
	}
	switch {
	case !utf8.Valid(t.Payload) || len(t.Payload) == 0 || t.Payload[0] != '{' || !decode(t.Payload, &call) || call.Event == "":
		return it, notATrack
	case t.MessageID == "" || call.MessageID != t.MessageID:
		return it, "message ID is missing or not the staged one"
	case t.Time.Unix() < 0 || t.Time.After(latest):
		return it, "time before 1970 or after 2262"
	}
	attributes := []*commonpb.KeyValue{attribute(keyMessageID, text(call.MessageID))}
	for _, name := range slices.Sorted(maps.Keys(call.Properties)) {
		if name == keyMessageID {
			return it, "property " + keyMessageID + " would stand twice in the record"
		}
		if value := call.Properties[name]; value != nil {
			attributes = append(attributes, attribute(name, valueOf(value)))
		}
	}
	return item{library: call.Context.Library, record: &logspb.LogRecord{
		TimeUnixNano: uint64(t.Time.UnixNano()), SeverityNumber: logspb.SeverityNumber_SEVERITY_NUMBER_INFO, //nolint:gosec // not negative
		EventName: call.Event, Body: text(call.Event), Attributes: attributes,
	}}, ""
}

func attribute(key string, value *commonpb.AnyValue) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: value}
}

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

// decode decodes one JSON value, in which numbers keep all of their digits.
func decode(data []byte, v any) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if d.Decode(v) != nil {
		return false
	}
	_, err := d.Token()
	return err == io.EOF
}

// valueOf returns the value of what decode made of some JSON; null is empty.
func valueOf(v any) *commonpb.AnyValue {
	switch v := v.(type) {
	case string:
		return text(v)
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: whole}}
		}
		number, err := v.Float64()
		if err != nil { // beyond every number
			return text(v.String())
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: number}}
	case []any:
		values := make([]*commonpb.AnyValue, len(v))
		for i, element := range v {
			values[i] = valueOf(element)
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: values}}}
	case map[string]any:
		pairs := make([]*commonpb.KeyValue, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, attribute(key, valueOf(v[key])))
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: pairs}}}
	default:
		return &commonpb.AnyValue{}
	}
}

// request returns the items as one request, in their order. On the wire [logspb.LogsData] is an
// ExportLogsServiceRequest, whose package would bring gRPC along.
func (d *Destination) request(items []item) *logspb.LogsData {
	resource := &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("service.name", text(d.service))}}
	if d.version != "" {
		resource.Attributes = append(resource.Attributes, attribute("service.version", text(d.version)))
	}
	of := &logspb.ResourceLogs{Resource: resource}
	for i, it := range items {
		if i == 0 || it.library != items[i-1].library {
			of.ScopeLogs = append(of.ScopeLogs, &logspb.ScopeLogs{Scope: &commonpb.InstrumentationScope{Name: it.library.Name, Version: it.library.Version}})
		}
		scope := of.ScopeLogs[len(of.ScopeLogs)-1]
		scope.LogRecords = append(scope.LogRecords, it.record)
	}
	return &logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{of}}
}
