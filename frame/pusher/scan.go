package pusher

import (
	"encoding/binary"
	"math/bits"
)

// maxDepth is how deep arrays and objects of an inbound message may be nested.
const maxDepth = 64

// The functions of this file walk a JSON text (RFC 8259) by index. Each takes the
// index where its piece begins and returns the one behind it, or -1 when the piece
// is not what it should be. They never write, and never read beyond p.

// skipSpace returns the index of the first byte at or after i that is not white space.
func skipSpace(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\n' || p[i] == '\t' || p[i] == '\r') {
		i++
	}
	return i
}

// skipString walks a string whose opening quote is at p[i-1]. The end is behind the
// closing quote.
func skipString(p []byte, i int) (end int, escaped bool) {
	for i < len(p) {
		if i+8 <= len(p) {
			marks := specialBytes(binary.LittleEndian.Uint64(p[i:]))
			if marks == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(marks) / 8
		}
		switch c := p[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			escaped = true
			if i = skipEscape(p, i+1); i < 0 {
				return -1, true
			}
		case c < 0x20:
			return -1, escaped
		default:
			i++
		}
	}
	return -1, escaped
}

// skipEscape walks an escape whose backslash is at p[i-1].
func skipEscape(p []byte, i int) int {
	if i >= len(p) {
		return -1
	}
	switch p[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if _, ok := hex4(p, i+1); ok {
			return i + 5
		}
	}
	return -1
}

// hex4 reads the four hexadecimal digits at p[i:].
func hex4(p []byte, i int) (v rune, ok bool) {
	if i+4 > len(p) {
		return 0, false
	}
	for _, c := range p[i : i+4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}

// skipNumber walks a number that begins at p[i].
func skipNumber(p []byte, i int) int {
	if p[i] == '-' {
		i++
	}
	switch {
	case i < len(p) && p[i] == '0':
		i++
	default:
		if i = skipDigits(p, i); i < 0 {
			return -1
		}
	}
	if i < len(p) && p[i] == '.' {
		if i = skipDigits(p, i+1); i < 0 {
			return -1
		}
	}
	if i < len(p) && p[i]|0x20 == 'e' {
		i++
		if i < len(p) && (p[i] == '+' || p[i] == '-') {
			i++
		}
		return skipDigits(p, i)
	}
	return i
}

// skipDigits walks one or more digits.
func skipDigits(p []byte, i int) int {
	from := i
	for i < len(p) && p[i]-'0' <= 9 {
		i++
	}
	if i == from {
		return -1
	}
	return i
}

// skipWord walks one of the words true, false and null.
func skipWord(p []byte, i int, word string) int {
	if len(p)-i < len(word) || string(p[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// skipScalar walks a value that is neither an array nor an object.
func skipScalar(p []byte, i int) int {
	switch c := p[i]; {
	case c == '"':
		end, _ := skipString(p, i+1)
		return end
	case c == '-' || c-'0' <= 9:
		return skipNumber(p, i)
	case c == 't':
		return skipWord(p, i, "true")
	case c == 'f':
		return skipWord(p, i, "false")
	case c == 'n':
		return skipWord(p, i, "null")
	default:
		return -1
	}
}

// skipName walks a member's name, from its opening quote at p[i], and the colon, and
// stands at the value.
func skipName(p []byte, i int) int {
	if i >= len(p) || p[i] != '"' {
		return -1
	}
	if i, _ = skipString(p, i+1); i < 0 {
		return -1
	}
	if i = skipSpace(p, i); i >= len(p) || p[i] != ':' {
		return -1
	}
	return skipSpace(p, i+1)
}

// skipValue walks one value of any kind that begins at p[i] and may be nested room
// deep, at most maxDepth.
//
// It keeps one bit for each open level in place of a stack: 1 an object, 0 an array.
func skipValue(p []byte, i, room int) int {
	var objects uint64 // bit 0 is the innermost level
	depth := 0
	for {
		if i >= len(p) {
			return -1
		}
		// At the beginning of a value.
		switch c := p[i]; c {
		case '{', '[':
			if depth++; depth > room {
				return -1
			}
			objects <<= 1
			i = skipSpace(p, i+1)
			if c == '{' {
				objects |= 1
				if i >= len(p) || p[i] != '}' {
					if i = skipName(p, i); i < 0 {
						return -1
					}
					continue
				}
			} else if i >= len(p) || p[i] != ']' {
				continue
			}
			i++ // an empty one
			depth--
			objects >>= 1
		default:
			if i = skipScalar(p, i); i < 0 {
				return -1
			}
		}
		// Behind a value: close what it ends, up to the comma before the next.
		for {
			if depth == 0 {
				return i
			}
			if i = skipSpace(p, i); i >= len(p) {
				return -1
			}
			if p[i] == ',' {
				i = skipSpace(p, i+1)
				break
			}
			if p[i] != ']' && objects&1 == 0 || p[i] != '}' && objects&1 == 1 {
				return -1
			}
			i++
			depth--
			objects >>= 1
		}
		if objects&1 == 1 {
			if i = skipName(p, i); i < 0 {
				return -1
			}
		}
	}
}
