package frame

import (
	"bytes"
	"encoding/binary"
)

// fields is what the fields of a head say that only the verdict needs.
type fields struct {
	close, keepAlive  bool // tokens of Connection
	connectionUpgrade bool
	version           []byte // Sec-WebSocket-Version; nil = absent
	twice             bool   // a WebSocket field that must be single came twice
}

// field reads "name: value", RFC 9112 section 5. A name is a token, so that a
// folded line and a space before the colon are refused with the rest.
func (h *Head) field(line []byte, seen *fields) error {
	colon := tokenLen(line)
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return ErrHeadMalformed
	}
	name, value := line[:colon], trimSpace(line[colon+1:])
	if !validValue(value) {
		return ErrHeadMalformed
	}
	switch len(name) {
	case len("host"):
		if equalFold(name, "host") {
			return single(&h.Host, value, validHost(value))
		}
	case len("origin"): // and expect
		if equalFold(name, "origin") {
			return single(&h.Origin, value, true)
		}
		if equalFold(name, "expect") && equalFold(value, "100-continue") {
			h.Expect100 = true
		}
	case len("upgrade"):
		if equalFold(name, "upgrade") && hasToken(value, "websocket") {
			h.Upgrade = true
		}
	case len("connection"):
		if equalFold(name, "connection") {
			seen.close = seen.close || hasToken(value, "close")
			seen.keepAlive = seen.keepAlive || hasToken(value, "keep-alive")
			seen.connectionUpgrade = seen.connectionUpgrade || hasToken(value, "upgrade")
		}
	case len("content-type"):
		if equalFold(name, "content-type") && h.ContentType == nil {
			h.ContentType = value
		}
	case len("last-event-id"): // and if-none-match
		if equalFold(name, "last-event-id") && h.LastEventID == nil {
			h.LastEventID = value
		} else if equalFold(name, "if-none-match") && h.IfNoneMatch == nil {
			h.IfNoneMatch = value
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			return h.contentLength(value)
		}
	default:
		return h.longField(name, value, seen)
	}
	return nil
}

// longField reads the fields with the longest names.
func (h *Head) longField(name, value []byte, seen *fields) error {
	switch len(name) {
	case len("transfer-encoding"): // and sec-websocket-key
		if equalFold(name, "transfer-encoding") {
			if h.Chunked || !equalFold(value, "chunked") {
				return ErrHeadMalformed
			}
			h.Chunked = true
		} else if equalFold(name, "sec-websocket-key") {
			seen.twice = seen.twice || h.Key != nil
			h.Key = value
		}
	case len("sec-websocket-version"):
		if equalFold(name, "sec-websocket-version") {
			seen.twice = seen.twice || seen.version != nil
			seen.version = value
		}
	case len("sec-websocket-extensions"):
		// Further fields hold further offers (RFC 6455 section 9.1); a server may
		// choose among the first ones only.
		if equalFold(name, "sec-websocket-extensions") && h.Extensions == nil {
			h.Extensions = value
		}
	}
	return nil
}

// single stores a field that may come once only.
func single(dst *[]byte, value []byte, valid bool) error {
	if *dst != nil || !valid {
		return ErrHeadMalformed
	}
	*dst = value
	return nil
}

// contentLength reads RFC 9110 section 8.6 without its lenience towards a list of
// equal numbers: digits, at most 18 of them, once.
func (h *Head) contentLength(value []byte) error {
	if h.ContentLength >= 0 || len(value) == 0 || len(value) > 18 {
		return ErrHeadMalformed
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return ErrHeadMalformed
		}
		n = n*10 + int64(c-'0')
	}
	h.ContentLength = n
	return nil
}

// trimSpace cuts optional white space, RFC 9110 section 5.6.3. The result is
// never nil.
func trimSpace(p []byte) []byte {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
		p = p[1:]
	}
	for len(p) > 0 && (p[len(p)-1] == ' ' || p[len(p)-1] == '\t') {
		p = p[:len(p)-1]
	}
	return p
}

// validValue tells whether a field value has no control characters but tabs, RFC
// 9110 section 5.5. It looks at eight bytes at once: subtracting sets the high bit
// of every byte that was below the subtrahend, and of some others, which the slow
// look then lets pass.
func validValue(p []byte) bool {
	const (
		high   = 0x8080808080808080
		spaces = 0x2020202020202020
		dels   = 0x7f7f7f7f7f7f7f7f
		ones   = 0x0101010101010101
	)
	for len(p) >= 8 {
		x := binary.LittleEndian.Uint64(p)
		y := x ^ dels
		if (x-spaces)&^x&high|(y-ones)&^y&high != 0 && !validValueSlow(p[:8]) {
			return false
		}
		p = p[8:]
	}
	return validValueSlow(p)
}

func validValueSlow(p []byte) bool {
	for _, c := range p {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// hasToken looks for a token in a comma-separated list, RFC 9110 section 5.6.1,
// without regard to case.
func hasToken(list []byte, lower string) bool {
	for {
		comma := bytes.IndexByte(list, ',')
		if comma < 0 {
			return equalFold(trimSpace(list), lower)
		}
		if equalFold(trimSpace(list[:comma]), lower) {
			return true
		}
		list = list[comma+1:]
	}
}

// equalFold compares p without regard to case with an ASCII string in lower case.
func equalFold(p []byte, lower string) bool {
	if len(p) != len(lower) {
		return false
	}
	for i, c := range p {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Classes of characters.
const (
	classToken = 1 << iota // RFC 9110 section 5.6.2
	classHost              // RFC 3986 section 3.2.2, with brackets, port and percent
)

var classes = func() (t [256]uint8) {
	for c := range t {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80
		digit := c >= '0' && c <= '9'
		if letter || digit || c < 0x80 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0 {
			t[c] |= classToken
		}
		if letter || digit || c < 0x80 && bytes.IndexByte([]byte("-._~!$&'()*+;=:[]%"), byte(c)) >= 0 {
			t[c] |= classHost
		}
	}
	return t
}()

// tokenLen is the length of the token at the start of p.
func tokenLen(p []byte) int {
	for i, c := range p {
		if classes[c]&classToken == 0 {
			return i
		}
	}
	return len(p)
}

func isToken(p []byte) bool { return len(p) > 0 && tokenLen(p) == len(p) }

// validHost refuses what cannot stand in an authority: lists, paths, user names.
func validHost(p []byte) bool {
	for _, c := range p {
		if classes[c]&classHost == 0 {
			return false
		}
	}
	return true
}
