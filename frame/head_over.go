package frame

import (
	"bytes"
	"fmt"
)

// HeadOver is the limit that the head of a request is over, and what its client is
// told: whoever refuses the head, the answer is the same.
type HeadOver struct {
	// Limit is the limit and Actual what was found; Limit+1 where the client's own
	// amount is not known.
	Limit, Actual int
	// Knob is the configuration key.
	Knob string

	what, unit string // of the sentence: "the request head has", "fields"
}

// Max is in how many bytes a head must be complete, the end of its first line
// included.
func (lim HeadLimits) Max() int { return lim.LineBytes + len("\r\n") + lim.HeadBytes }

// Over finds the limit for a head that Parse calls too large, or that is longer
// than Max and has not ended. It looks at Max and one byte, so that it finds the
// same however much has come.
func (lim HeadLimits) Over(p []byte) HeadOver {
	p = p[:min(len(p), lim.Max()+1)]
	line, rest, ended := bytes.Cut(p, []byte("\r\n"))
	if !ended {
		line = p[:min(len(p), lim.LineBytes+1)]
	}
	fields, _, whole := bytes.Cut(rest, []byte("\r\n\r\n"))
	size, count := len(fields)+len("\r\n\r\n"), bytes.Count(fields, []byte("\r\n"))
	switch {
	case whole:
		count++ // the last field's end is in the separator
	case count <= lim.Count:
		size = lim.HeadBytes + 1
	default:
		size = min(size, lim.HeadBytes+1)
	}
	over, _ := lim.Judge(len(line), size, count)
	return over
}

// Judge tells whether a head with these measures is over a limit: the bytes of its
// request line without CRLF, the bytes of its fields with the empty line, and their
// number.
func (lim HeadLimits) Judge(line, head, count int) (over HeadOver, is bool) {
	switch {
	case line > lim.LineBytes:
		return HeadOver{lim.LineBytes, line, "limits.request_line_bytes", "the request line is", "bytes"}, true
	case head > lim.HeadBytes:
		return HeadOver{lim.HeadBytes, head, "limits.head_bytes", "the fields of the request head are", "bytes"}, true
	case count > lim.Count:
		return HeadOver{lim.Count, count, "limits.head_count", "the request head has", "fields"}, true
	}
	return HeadOver{}, false
}

// Sentence tells a person what was found and what to change.
func (o HeadOver) Sentence() string {
	if o.Actual == o.Limit+1 {
		return fmt.Sprintf("%s over %s %s: raise %s", o.what, grouped(o.Limit), o.unit, o.Knob)
	}
	return fmt.Sprintf("%s %s %s, limit %s: raise %s", o.what, grouped(o.Actual), o.unit, grouped(o.Limit), o.Knob)
}

// AppendHTTP appends the whole response.
func (o HeadOver) AppendHTTP(dst []byte) []byte {
	return AppendHTTPLimit(dst, 431, "head_too_large", o.Sentence(), int64(o.Limit), int64(o.Actual), o.Knob)
}

// grouped writes a number below a million, as no head is longer, as people read
// it: 8,192.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
