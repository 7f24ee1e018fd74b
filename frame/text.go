package frame

import "unicode/utf8"

// utf8Check validates UTF-8 that comes in pieces, and fails at the first byte
// that no continuation could make valid (RFC 6455 section 8.1, RFC 3629).
// The zero value stands between two runes.
type utf8Check struct {
	need   uint8 // continuation bytes still to come of the rune that is open
	lo, hi uint8 // bounds of the next continuation byte; meaningless when need is 0
}

// write checks the next piece.
func (u *utf8Check) write(p []byte) bool {
	for u.need > 0 {
		if len(p) == 0 {
			return true
		}
		if p[0] < u.lo || p[0] > u.hi {
			return false
		}
		u.lo, u.hi = 0x80, 0xbf
		u.need--
		p = p[1:]
	}
	tail := openRune(p)
	if !utf8.Valid(p[:tail]) {
		return false
	}
	for _, c := range p[tail:] {
		if u.need == 0 {
			if !u.lead(c) {
				return false
			}
			continue
		}
		if c < u.lo || c > u.hi {
			return false
		}
		u.lo, u.hi = 0x80, 0xbf
		u.need--
	}
	return true
}

// whole tells whether the text may end here.
func (u *utf8Check) whole() bool { return u.need == 0 }

// lead opens a rune of several bytes. The bounds of its second byte keep out
// overlong forms, surrogates and everything above U+10FFFF.
func (u *utf8Check) lead(c byte) bool {
	u.lo, u.hi = 0x80, 0xbf
	switch {
	case c >= 0xc2 && c <= 0xdf:
		u.need = 1
	case c >= 0xe0 && c <= 0xef:
		u.need = 2
		switch c {
		case 0xe0:
			u.lo = 0xa0
		case 0xed:
			u.hi = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		u.need = 3
		switch c {
		case 0xf0:
			u.lo = 0x90
		case 0xf4:
			u.hi = 0x8f
		}
	default:
		return false
	}
	return true
}

// openRune is the index in p of a rune that begins in the last three bytes and
// does not end in p; len(p) when there is none. It looks at lead bytes only, the
// caller checks what follows them.
func openRune(p []byte) int {
	for back := 1; back <= 3 && back <= len(p); back++ {
		c := p[len(p)-back]
		if c < 0x80 {
			break
		}
		if c < 0xc0 {
			continue // a continuation byte: the lead is further left
		}
		size := 2
		switch {
		case c >= 0xf0:
			size = 4
		case c >= 0xe0:
			size = 3
		}
		if size > back {
			return len(p) - back
		}
		break
	}
	return len(p)
}
