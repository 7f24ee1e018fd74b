package api

import (
	"strconv"
	"strings"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/valyala/fasthttp"
)

// refusal is one error answer: the status, and the object that is its body,
//
//	{"error":"…","code":"…","status":413,"limit":10240,"actual":10241,"knob":"limits.event_data_bytes"}
//
// of which the last three members are there for limits only. Functions of this
// package return *refusal, never error, so that a nil one stays nil.
type refusal struct {
	status int
	code   code
	text   string // one sentence for a person: what was found, what was expected, what to change

	// limit, actual and knob describe a limit that was exceeded; knob is the
	// configuration key, and "" says that no limit is concerned. Where the true
	// amount is not known (a chunked body is not read to its end), actual is
	// limit+1, the least that is too much.
	limit, actual int64
	knob          string

	more []byte // further members of the object, each with a comma before it

	retryAfter int    // seconds in a Retry-After header; 0: no such header
	allow      string // the Allow header of a 405
}

// code is the machine-readable word of a refusal. The set is closed.
type code string

// A position that cannot be recovered from is refused, with 410, by the reason that
// the router gives for it: expired, epoch, ahead, unavailable or off.
const (
	codeBadRequest        code = "bad_request"          // 400: not HTTP, or a parameter of the query that cannot be read
	codeBadJSON           code = "bad_json"             // 400: not JSON, or a member has the wrong form
	codeMissingField      code = "missing_field"        // 400
	codeBadChannel        code = "bad_channel"          // 400
	codeBadEvent          code = "bad_event"            // 400
	codeBadInfo           code = "bad_info"             // 400
	codeBadKey            code = "bad_key"              // 400: idempotency key
	codeTooManyChannels   code = "too_many_channels"    // 400
	codeTooManyEvents     code = "too_many_events"      // 400
	codeBadSignature      code = "bad_signature"        // 401
	codeStaleTimestamp    code = "stale_timestamp"      // 401
	codeAppDisabled       code = "app_disabled"         // 403
	codeOrigin            code = "origin"               // 403: a page of another origin
	codeUnknownApp        code = "unknown_app"          // 404
	codeNotFound          code = "not_found"            // 404
	codeMethod            code = "method"               // 405
	codeTimeout           code = "timeout"              // 408: the body did not come in time
	codeMismatch          code = "idempotency_mismatch" // 409
	codeInProgress        code = "in_progress"          // 409
	codeDataTooLarge      code = "data_too_large"       // 413
	codeBodyTooLarge      code = "body_too_large"       // 413
	codeRateLimited       code = "rate_limited"         // 429
	codeHeadTooLarge      code = "head_too_large"       // 431
	codeLogUnavailable    code = "log_unavailable"      // 503
	codeBrokerUnavailable code = "broker_unavailable"   // 503
	codeDraining          code = "draining"             // 503
)

// refuse is a refusal without a limit.
func refuse(status int, c code, text string) *refusal {
	return &refusal{status: status, code: c, text: text}
}

// overLimit is a refusal by a limit. what is the beginning of the sentence, up to
// and with its verb, unit is "bytes" or what is counted, actual is what was found:
//
//	event data is 10,241 bytes, limit 10,240: raise limits.event_data_bytes
func overLimit(status int, c code, what string, actual int64, unit string, limit int64, knob string) *refusal {
	return &refusal{
		status: status, code: c,
		text:  what + " " + grouped(actual) + " " + unit + ", limit " + grouped(limit) + ": raise " + knob,
		limit: limit, actual: actual, knob: knob,
	}
}

// overLimitUnmeasured is overLimit for an amount known only to exceed the limit.
func overLimitUnmeasured(status int, c code, what, unit string, limit int64, knob string) *refusal {
	return &refusal{
		status: status, code: c,
		text:  what + " over " + grouped(limit) + " " + unit + ": raise " + knob,
		limit: limit, actual: limit + 1, knob: knob,
	}
}

// in puts the place of a fault in front of its sentence: "batch[3]: …".
func (r *refusal) in(where string) *refusal {
	if r != nil && where != "" {
		r.text = where + ": " + r.text
	}
	return r
}

// appendJSON appends the body of the answer.
func (r *refusal) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"error":`...)
	dst = pusher.AppendString(dst, strings.ToValidUTF8(r.text, "\uFFFD"))
	dst = append(dst, `,"code":"`...)
	dst = append(dst, r.code...)
	dst = append(dst, `","status":`...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	if r.knob != "" {
		dst = append(dst, `,"limit":`...)
		dst = strconv.AppendInt(dst, r.limit, 10)
		dst = append(dst, `,"actual":`...)
		dst = strconv.AppendInt(dst, r.actual, 10)
		dst = append(dst, `,"knob":"`...)
		dst = append(dst, r.knob...)
		dst = append(dst, '"')
	}
	dst = append(dst, r.more...)
	return append(dst, '}')
}

// write makes the refusal the response of ctx.
func (r *refusal) write(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(r.status)
	ctx.Response.Header.SetContentType(contentType)
	if r.retryAfter > 0 {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(r.retryAfter))
	}
	if r.allow != "" {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, r.allow)
	}
	ctx.Response.SetBodyRaw(r.appendJSON(nil))
}

// grouped writes a number as people read it: 10,241.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	digits := strings.TrimPrefix(s, "-")
	head := len(s) - len(digits)
	for i := len(digits) - 3; i > 0; i -= 3 {
		s = s[:head+i] + "," + s[head+i:]
	}
	return s
}

// shown quotes a client's text for a sentence, cut to a length a log line can bear.
func shown(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}
