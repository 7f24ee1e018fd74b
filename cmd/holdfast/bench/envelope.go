package bench

import (
	"bytes"
	"encoding/json"
)

// envelope is the top level of a message of the Pusher protocol. Servers write the
// members in different orders and with members of their own, so all are walked;
// nothing is copied. Texts are as they stand between the quotes, escapes included.
type envelope struct {
	event, channel []byte
	data           []byte // text of a string, or the whole of another value
	dataIsText     bool
	seq            uint64 // holdfast: number of the event; 0 = none
	position       []byte // holdfast: an object
	cached         bool   // holdfast: the last event of a cache channel, not a new one
}

// scan reads text, which it borrows. It is lenient: what it accepts need not be
// valid JSON, but it understands every valid JSON object, and never reads beyond it.
func (e *envelope) scan(text []byte) bool {
	*e = envelope{}
	p := skipSpace(text)
	if len(p) == 0 || p[0] != '{' {
		return false
	}
	if p = skipSpace(p[1:]); len(p) > 0 && p[0] == '}' {
		return true
	}
	for {
		if len(p) == 0 || p[0] != '"' {
			return false
		}
		end := stringEnd(p)
		if end < 0 {
			return false
		}
		name := p[1:end]
		if p = skipSpace(p[end+1:]); len(p) == 0 || p[0] != ':' {
			return false
		}
		p = skipSpace(p[1:])
		n := valueEnd(p)
		if n <= 0 {
			return false
		}
		e.member(name, p[:n])
		p = skipSpace(p[n:])
		switch {
		case len(p) == 0:
			return false
		case p[0] == '}':
			return true
		case p[0] != ',':
			return false
		}
		p = skipSpace(p[1:])
	}
}

func (e *envelope) member(name, value []byte) {
	text := value
	isText := value[0] == '"'
	if isText {
		text = value[1 : len(value)-1]
	}
	switch string(name) {
	case "event":
		e.event = text
	case "channel":
		e.channel = text
	case "data":
		e.data, e.dataIsText = text, isText
	case "seq":
		if v, ok := digits(value); ok && len(value) <= 16 {
			e.seq = v
		}
	case "position":
		e.position = value
	case "cached":
		e.cached = string(value) == "true"
	}
}

// dataObject is data as JSON, whether it stands in a string or not. It allocates
// for a string.
func (e *envelope) dataObject() []byte {
	if !e.dataIsText {
		return e.data
	}
	var s string
	quoted := append(append([]byte{'"'}, e.data...), '"')
	if json.Unmarshal(quoted, &s) != nil {
		return nil
	}
	return []byte(s)
}

// headSeq is position.seq, 0 when there is none.
func (e *envelope) headSeq() uint64 {
	_, rest, found := bytes.Cut(e.position, []byte(`"seq":`))
	if !found {
		return 0
	}
	n := 0
	for n < len(rest) && n < 16 && rest[n]-'0' <= 9 {
		n++
	}
	v, _ := digits(rest[:n])
	return v
}

func skipSpace(p []byte) []byte {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t' || p[0] == '\n' || p[0] == '\r') {
		p = p[1:]
	}
	return p
}

// stringEnd is the place of the closing quote of the string at the start of p, -1
// when there is none.
func stringEnd(p []byte) int {
	for at := 1; at < len(p); {
		n := bytes.IndexByte(p[at:], '"')
		if n < 0 {
			return -1
		}
		at += n
		escapes := 0
		for p[at-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
		at++
	}
	return -1
}

// valueEnd is the length of the value at the start of p, 0 when it does not end in p.
func valueEnd(p []byte) int {
	if len(p) == 0 {
		return 0
	}
	switch p[0] {
	case '"':
		return stringEnd(p) + 1
	case '{', '[':
		return nestedEnd(p)
	}
	for i, b := range p {
		if b == ',' || b == '}' || b == ']' || b == ' ' || b == '\t' || b == '\n' || b == '\r' {
			return i
		}
	}
	return 0
}

// nestedEnd is the length of the object or array at the start of p, 0 when it does
// not end in p.
func nestedEnd(p []byte) int {
	depth := 0
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '"':
			n := stringEnd(p[i:])
			if n < 0 {
				return 0
			}
			i += n
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
