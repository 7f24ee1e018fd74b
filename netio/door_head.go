package netio

import (
	"bytes"
	"errors"

	"github.com/holdfast-edge/holdfast/frame"
)

// doorContinue tells a client that its body is wanted (RFC 9110 section 10.1.1).
const doorContinue = "HTTP/1.1 100 Continue\r\n\r\n"

// doorRefusal is an answer that the door gives by itself; the conversation ends
// with it.
type doorRefusal struct {
	status     int
	code, text string
	over       frame.HeadOver // of a 431, which has no code and text here
}

var (
	doorMalformed  = &doorRefusal{status: 400, code: "bad_request", text: "malformed HTTP/1.1 request"}
	doorNoLength   = &doorRefusal{status: 411, code: "length_required", text: "Transfer-Encoding is not accepted in requests: send Content-Length"}
	doorEarlyBytes = &doorRefusal{status: 400, code: "bad_request", text: "bytes after a WebSocket upgrade request and before its 101 response (RFC 6455 section 4.1)"}
)

func doorHeadTooLarge(p []byte, lim frame.HeadLimits) *doorRefusal {
	return &doorRefusal{status: 431, over: lim.Over(p)}
}

// encode is the whole response.
func (r *doorRefusal) encode() []byte {
	if r.status == 431 {
		return r.over.AppendHTTP(nil)
	}
	return frame.AppendHTTPError(nil, r.status, r.code, r.text)
}

// doorHead is what the door knows of the request that it collects.
type doorHead struct {
	bytes     int  // of the head; 0 = not complete yet
	total     int  // of head and body
	scanned   int  // bytes known not to complete the head
	upgrade   bool // asks for a WebSocket, or is the session's to answer
	oversized bool // the body is over the limit and is not read
	expect    bool // has an Expect field
	waits     bool // the client waits for 100 before it sends the body
}

// parse looks for a complete head in p and reads it into head, which borrows p. One
// that cannot be served, or cannot become one that can, is refused.
func (h *doorHead) parse(p []byte, lim doorLimits, streams func(*frame.Head) bool, head *frame.Head) (complete bool, refusal *doorRefusal) {
	if !frame.HeadComplete(p, h.scanned) {
		h.scanned = len(p)
		if len(p) > lim.Head.Max() {
			return false, doorHeadTooLarge(p, lim.Head)
		}
		return false, nil
	}
	switch err := head.Parse(p, lim.Head); {
	case errors.Is(err, frame.ErrHeadTooLarge):
		return false, doorHeadTooLarge(p, lim.Head)
	case err != nil:
		return false, doorMalformed
	case head.Chunked:
		return false, doorNoLength
	}
	body := max(0, head.ContentLength)
	if body > lim.Body {
		h.oversized, body = true, 0
	}
	h.bytes, h.total = head.Len, head.Len+int(body)
	h.upgrade = head.Upgrade || (streams != nil && streams(head))
	h.expect = head.Expect100
	h.waits = head.Expect100 && !head.HTTP10 && body > 0
	return true, nil
}

// doorDropField removes the fields of a name, in place, from a head that is known
// to be well formed. It returns the shortened head, which ends where the old one
// ended.
func doorDropField(head []byte, name string) []byte {
	for line := 0; ; {
		end := bytes.IndexByte(head[line:], '\n')
		if end < 0 {
			return head
		}
		end += line + 1
		text := head[line:end]
		if len(text) > len(name) && text[len(name)] == ':' && bytes.EqualFold(text[:len(name)], []byte(name)) {
			copy(head[end-line:], head[:line])
			head = head[end-line:] // the next line begins where this one did
			continue
		}
		line = end
	}
}
