package router

import (
	"strconv"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// doorRefusal is the answer to a stream that is not served, in the shape of the HTTP
// API's errors.
type doorRefusal struct {
	status  int
	code    string
	text    string
	channel string // "" = it concerns no single one

	limit, actual int64
	knob          string // "" = no limit is concerned
	retryAfter    int    // seconds; 0 = no such header
	gone          bool   // 204: an event stream must not come back

	passing frame.CloseReason // with a Code: it passes by itself, and this is its close
}

// codeRefusedChannel is the code of a channel that may not be subscribed to for a
// reason that has no code of its own.
const codeRefusedChannel = "bad_channel"

func doorRefuse(status int, code, text string) *doorRefusal {
	return &doorRefusal{status: status, code: code, text: text}
}

// final turns the refusal into 204 for a stream that was here before: its client
// retries after anything else that it does not understand.
func (no *doorRefusal) final(gone bool) *doorRefusal {
	no.gone = gone
	return no
}

// refusalOf is what a poll is answered when its connection is to end.
func refusalOf(r frame.CloseReason) *doorRefusal {
	if r.Code < 4100 {
		return doorRefuse(403, r.Label, r.Text)
	}
	no := doorRefuse(503, r.Label, r.Text)
	if r.Code >= 4200 {
		no = doorRefuse(503, "draining", "this server is about to end: ask another one, or again in a second")
	}
	no.retryAfter, no.passing = 1, r
	return no
}

// answerRefusal answers a request that is not served and ends it.
func (s *Shard) answerRefusal(slot uint32, st *stream, no *doorRefusal) {
	x := s.sessions.at(slot)
	x.flags |= flagEnding
	if no.gone {
		out := appendStatus(nil, 204)
		out = appendOrigin(out, st.origin)
		s.conns.Send(slot, append(out, "Connection: close\r\n\r\n"...))
		s.conns.Finish(slot, false)
		return
	}
	if !st.poll && no.passing.Code != 0 {
		// Any status but 200 ends an EventSource for good; a stream that ends does not.
		out := appendStreamHeader(nil, st.origin, streamRetry())
		text := pusher.AppendError(nil, int(no.passing.Code), no.passing.Text)
		s.conns.Send(slot, frame.AppendEventStream(out, text))
		s.conns.Finish(slot, false)
		return
	}
	body := append([]byte(nil), `{"error":`...)
	body = pusher.AppendString(body, no.text)
	body = append(body, `,"code":`...)
	body = pusher.AppendString(body, no.code)
	body = append(body, `,"status":`...)
	body = strconv.AppendInt(body, int64(no.status), 10)
	if no.knob != "" {
		body = append(body, `,"limit":`...)
		body = strconv.AppendInt(body, no.limit, 10)
		body = append(body, `,"actual":`...)
		body = strconv.AppendInt(body, no.actual, 10)
		body = append(body, `,"knob":`...)
		body = pusher.AppendString(body, no.knob)
	}
	if no.channel != "" {
		body = append(body, `,"channel":`...)
		body = pusher.AppendString(body, no.channel)
	}
	body = append(body, '}')
	out := appendStatus(nil, no.status)
	out = appendOrigin(out, st.origin)
	if no.retryAfter > 0 {
		out = append(out, "Retry-After: "...)
		out = strconv.AppendInt(out, int64(no.retryAfter), 10)
		out = append(out, "\r\n"...)
	}
	keep := st.keep && no.status < 500
	out = appendBody(out, keep, body)
	s.conns.Send(slot, out)
	s.conns.Finish(slot, keep)
}

// statusTexts are the reason phrases of the answers that streams get.
var statusTexts = map[int]string{
	200: "OK", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
	404: "Not Found", 503: "Service Unavailable",
}

func appendStatus(dst []byte, status int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, statusTexts[status]...)
	return append(dst, "\r\nCache-Control: no-store\r\n"...)
}

// appendOrigin allows an origin that was found good to read the answer. No cookie
// plays a part here, so no credentials are allowed.
func appendOrigin(dst []byte, origin string) []byte {
	if origin == "" {
		return dst
	}
	dst = append(dst, "Access-Control-Allow-Origin: "...)
	dst = append(dst, origin...)
	return append(dst, "\r\nAccess-Control-Expose-Headers: ETag\r\nVary: Origin\r\n"...)
}

// appendBody ends the head of an answer and appends its body.
func appendBody(dst []byte, keep bool, body []byte) []byte {
	if !keep {
		dst = append(dst, "Connection: close\r\n"...)
	}
	dst = append(dst, "Content-Type: application/json\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// appendStreamHeader begins an event stream.
func appendStreamHeader(dst []byte, origin string, retry int) []byte {
	dst = appendStatus(dst, 200)
	dst = appendOrigin(dst, origin)
	dst = append(dst, "Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\nretry: "...)
	dst = strconv.AppendInt(dst, int64(retry), 10)
	return append(dst, "\n\n"...)
}
