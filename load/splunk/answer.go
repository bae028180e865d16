// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// The codes of HEC that matter here. They come with a status of HTTP, and say more.
const (
	codeNone            = -1 // the answer has none
	codeSuccess         = 0
	codeTokenDisabled   = 1
	codeTokenMissing    = 2
	codeTokenMalformed  = 3
	codeTokenUnknown    = 4
	codeNoData          = 5
	codeInvalidData     = 6
	codeIndex           = 7
	codeChannelMissing  = 10
	codeChannelInvalid  = 11
	codeEventMissing    = 12
	codeEventBlank      = 13
	codeAckDisabled     = 14
	codeFields          = 15
	codeTokenInvalid    = 21
	codeTokenOff        = 22
	codeQueueFilling    = 24
	codeAcksFilling     = 25
	codeChannelRequired = 28
)

// An answer is what HEC says to a request. Its text is not read.
type answer struct {
	status int
	code   int
	number *int   // of the event that HEC refuses, from 0
	ack    *int64 // to ask for
	acks   map[string]bool
}

// readAnswer reads an answer. One that is not HEC's has no code.
func readAnswer(status int, body []byte) answer {
	var said struct {
		Code   *int            `json:"code"`
		Number *int            `json:"invalid-event-number"`
		Ack    *int64          `json:"ackId"`
		Acks   map[string]bool `json:"acks"`
	}
	a := answer{status: status, code: codeNone}
	if json.Unmarshal(body, &said) != nil {
		return a
	}
	if said.Code != nil {
		a.code = *said.Code
	}
	a.number, a.ack, a.acks = said.Number, said.Ack, said.Acks
	return a
}

// A class is what an answer means for the events of the request.
type class uint8

const (
	accepted  class = iota // the server took the request
	transient              // the same request may succeed later
	refused                // something in the request is wrong: one of the events, or its size
	permanent              // nothing sent here will be taken
)

func (a answer) class() class {
	switch a.status {
	case http.StatusOK:
		if a.code == codeSuccess || a.filling() || a.acks != nil {
			return accepted
		}
		return permanent // a login page, perhaps
	case http.StatusBadRequest:
		switch a.code {
		case codeInvalidData, codeEventMissing, codeEventBlank, codeFields:
			return refused
		default: // the settings, or not HEC that answers: no event is to blame
			return permanent
		}
	case http.StatusRequestEntityTooLarge:
		return refused
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return transient
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusNetworkAuthenticationRequired:
		return permanent
	}
	if a.status >= 500 && a.status < 600 {
		return transient
	}
	return permanent // a redirect as well: following it would turn the POST into a GET
}

// filling reports whether HEC took the events and may soon take no more.
func (a answer) filling() bool { return a.code == codeQueueFilling || a.code == codeAcksFilling }

// bad returns which of n events HEC refuses, or -1 when the answer does not tell. HEC has indexed those
// before it.
func (a answer) bad(n int) int {
	if a.status == http.StatusBadRequest && a.class() == refused && a.number != nil && *a.number >= 0 && *a.number < n {
		return *a.number
	}
	return -1
}

func (a answer) Error() string {
	if a.code == codeNone {
		return fmt.Sprintf("HTTP %d", a.status)
	}
	return fmt.Sprintf("HTTP %d, HEC code %d", a.status, a.code)
}

func (a answer) rejection() telemetry.Verdict {
	return telemetry.Verdict{Status: telemetry.Rejected, Reason: a.Error()}
}

// hint says what to do about a permanent answer.
func (a answer) hint() string {
	switch a.code {
	case codeTokenDisabled, codeTokenOff:
		return "the token, or the HTTP Event Collector as a whole, is disabled: enable it in Splunk"
	case codeTokenMissing, codeTokenMalformed, codeTokenUnknown, codeTokenInvalid:
		return "Splunk does not know the token: check it"
	case codeIndex:
		return "the token may not write to the index: allow it in the token's settings, or choose another"
	case codeChannelMissing, codeChannelRequired:
		return "the token wants indexer acknowledgement: ask for it, or disable it for the token"
	case codeChannelInvalid:
		return "the server does not take the channel: do without indexer acknowledgement"
	case codeAckDisabled:
		return "the token has no indexer acknowledgement: enable it for the token, or do without"
	}
	switch {
	case a.status >= 300 && a.status < 400:
		return "the URL redirects, which is not followed: configure the address it redirects to"
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return "check the token"
	case a.status == http.StatusProxyAuthRequired || a.status == http.StatusNetworkAuthenticationRequired:
		return "a proxy or network on the way wants a login"
	default:
		return "check that the URL is that of an HTTP Event Collector"
	}
}
