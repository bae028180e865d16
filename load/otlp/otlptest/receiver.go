// SPDX-License-Identifier: Apache-2.0

// Package otlptest is an OTLP receiver of logs over HTTP for tests, as strict as the specification.
//
// It takes no request that is not protocol buffers or has a field that it does not know, knows no record again, and
// says of a request of which it refuses a part how many records that were, and not which. It can be told to fail, one
// [Fault] per request.
package otlptest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/segment-bridge/segment-bridge/load/internal/fault"
)

// MaxBodyBytes is the largest body that is taken, unpacked.
const MaxBodyBytes = 1_000_000

// Token is what the header Authorization has to say.
const Token = "Bearer 8b1f0c9e"

// Canary is in the text of every failing answer: what servers say has no place in a client's errors and logs.
const Canary = fault.Canary

// A Fault is how one request goes wrong.
type Fault = fault.Fault

// A Reply is an answer that a test makes up.
type Reply struct {
	Status            int // 0 is 200
	ContentType, Body string
}

// A Record is a log record that was taken.
type Record struct {
	EventName, Body string
	Time            time.Time
	Severity        int32
	// Attributes, Resource and Scope are JSON as [protojson] writes it, without spaces.
	Attributes map[string]string
	Resource   map[string]string
	Scope      string // name and version
}

// A Receiver is an [http.Handler] for /v1/logs. It is safe for concurrent use.
type Receiver struct {
	mu       sync.Mutex
	records  []Record
	requests int
	faults   []Fault
	replies  []Reply
	down     bool
	refuse   func(Record) bool
	part     func(Record) bool
}

// New returns a receiver.
func New() *Receiver { return &Receiver{} }

// Start serves the receiver on a free port of the loopback interface. It returns the address, such as
// "http://127.0.0.1:40123", and a function that stops serving and cuts open connections.
func (r *Receiver) Start() (address string, stop func(), err error) { return fault.Serve(r) }

// Records returns what was taken, in order, each as often as it was.
func (r *Receiver) Records() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records)
}

// MessageIDs returns those of the records.
func (r *Receiver) MessageIDs() (ids []string) {
	for _, record := range r.Records() {
		var id commonpb.AnyValue
		if protojson.Unmarshal([]byte(record.Attributes["messageId"]), &id) == nil {
			ids = append(ids, id.GetStringValue())
		}
	}
	return ids
}

// Requests returns how many requests there were.
func (r *Receiver) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// Inject makes the next requests fail, one fault each, in the order of their arrival.
func (r *Receiver) Inject(faults ...Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, faults...)
}

// Reply takes the next requests, one for each reply, and answers them so.
func (r *Receiver) Reply(replies ...Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies = append(r.replies, replies...)
}

// Down makes every request fail with 503, or ends that.
func (r *Receiver) Down(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// Refuse answers 400 to a request with a record for which f returns true.
func (r *Receiver) Refuse(f func(Record) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = f
}

// RefusePart takes all records of a request but those for which f returns true, and says how many those were.
func (r *Receiver) RefusePart(f func(Record) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.part = f
}

// ServeHTTP serves /v1/logs.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f, down := r.next()
	f.Before(w)
	body, err := fault.Body(req, MaxBodyBytes)
	reply := Reply{Status: http.StatusBadRequest}
	if err == nil && f.Takes() && !down {
		reply = r.answer(req, body)
	}
	if !f.After(w, req) {
		return
	}
	if f.Status != 0 {
		reply = Reply{Status: f.Status}
	}
	if down {
		reply = Reply{Status: http.StatusServiceUnavailable}
	}
	if reply.Status != 0 && reply.Status != http.StatusOK && reply.Body == "" { // a google.rpc.Status with a message
		reply.ContentType, reply.Body = "application/x-protobuf", string(append([]byte{0x12, byte(len(Canary))}, Canary...))
	}
	if reply.ContentType != "" {
		w.Header().Set("Content-Type", reply.ContentType)
	}
	if reply.Status != 0 {
		w.WriteHeader(reply.Status)
	}
	_, _ = w.Write([]byte(reply.Body))
}

func (r *Receiver) next() (f Fault, down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	return fault.Next(&r.faults), r.down
}

func (r *Receiver) answer(req *http.Request, body []byte) Reply {
	var request collectorpb.ExportLogsServiceRequest
	switch {
	case req.URL.Path != "/v1/logs":
		return Reply{Status: http.StatusNotFound}
	case req.Method != http.MethodPost:
		return Reply{Status: http.StatusMethodNotAllowed}
	case req.Header.Get("Authorization") != Token:
		return Reply{Status: http.StatusUnauthorized}
	case req.Header.Get("Content-Type") != "application/x-protobuf":
		return Reply{Status: http.StatusUnsupportedMediaType}
	case len(body) > MaxBodyBytes:
		return Reply{Status: http.StatusRequestEntityTooLarge}
	case proto.Unmarshal(body, &request) != nil || hasUnknown(request.ProtoReflect()):
		return Reply{Status: http.StatusBadRequest}
	}
	return r.take(&request)
}

func (r *Receiver) take(request *collectorpb.ExportLogsServiceRequest) Reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	var taken []Record
	refused := int64(0)
	for _, of := range request.GetResourceLogs() {
		for _, scope := range of.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				read := readRecord(of, scope, record)
				switch {
				case r.refuse != nil && r.refuse(read):
					return Reply{Status: http.StatusBadRequest}
				case r.part != nil && r.part(read):
					refused++
				default:
					taken = append(taken, read)
				}
			}
		}
	}
	r.records = append(r.records, taken...)
	if len(r.replies) > 0 {
		reply := r.replies[0]
		r.replies = r.replies[1:]
		return reply
	}
	var response collectorpb.ExportLogsServiceResponse
	if refused > 0 {
		response.PartialSuccess = &collectorpb.ExportLogsPartialSuccess{RejectedLogRecords: refused, ErrorMessage: Canary}
	}
	body, err := proto.Marshal(&response)
	if err != nil {
		return Reply{Status: http.StatusInternalServerError}
	}
	return Reply{ContentType: "application/x-protobuf", Body: string(body)}
}

func readRecord(of *logspb.ResourceLogs, scope *logspb.ScopeLogs, record *logspb.LogRecord) Record {
	return Record{
		EventName: record.GetEventName(), Body: record.GetBody().GetStringValue(), Severity: int32(record.GetSeverityNumber()),
		Time:       time.Unix(0, int64(record.GetTimeUnixNano())).UTC(), //nolint:gosec // as the wire has it
		Attributes: readAttributes(record.GetAttributes()), Resource: readAttributes(of.GetResource().GetAttributes()),
		Scope: scope.GetScope().GetName() + " " + scope.GetScope().GetVersion(),
	}
}

func readAttributes(pairs []*commonpb.KeyValue) map[string]string {
	attributes := map[string]string{}
	for _, pair := range pairs {
		var compact bytes.Buffer
		text, err := protojson.Marshal(pair.GetValue())
		if _, twice := attributes[pair.GetKey()]; twice || err != nil || json.Compact(&compact, text) != nil {
			compact.WriteString("not one value")
		}
		attributes[pair.GetKey()] = compact.String()
	}
	return attributes
}

// hasUnknown reports whether a message holds a field that is not in its definition.
func hasUnknown(m protoreflect.Message) (unknown bool) {
	unknown = len(m.GetUnknown()) > 0
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range value.List().Len() {
				unknown = unknown || hasUnknown(value.List().Get(i).Message())
			}
		default:
			unknown = unknown || hasUnknown(value.Message())
		}
		return !unknown
	})
	return unknown
}
