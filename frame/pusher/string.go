package pusher

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
	"unsafe"
)

// AppendString appends s as a JSON string with its quotes.
//
// Only what JSON demands is escaped: the quote, the backslash and control
// characters; "<", "/" and U+2028 are left alone. Bytes that are not UTF-8 become
// U+FFFD, so what is appended is always a valid text message.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, viewOf(s))
	return append(dst, '"')
}

// viewOf is the bytes of s. They must not be written to.
func viewOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// appendEscaped appends the inside of a JSON string. s may be the end of dst.
//
// Eight bytes are copied at once, and then only as many of them counted as stand for
// themselves: most data is JSON text, in which a quote comes every few bytes.
func appendEscaped(dst, s []byte) []byte {
	i, j := 0, len(dst)
	var buf []byte // dst with all its capacity; j of it is written
	beyondASCII := uint64(highBits)
	for i < len(s) {
		if j+maxStep > len(buf) {
			dst = slices.Grow(dst[:j], len(s)-i+maxStep)
			buf = dst[:cap(dst)]
		}
		if i+8 <= len(s) {
			w := binary.LittleEndian.Uint64(s[i:])
			binary.LittleEndian.PutUint64(buf[j:], w)
			marks := specialBytes(w) | w&beyondASCII
			if marks == 0 {
				i += 8
				j += 8
				continue
			}
			n := bits.TrailingZeros64(marks) / 8
			i += n
			j += n
		}
		c := s[i]
		switch class := escapeOf[c]; {
		case class == 0:
			buf[j] = c
			j++
		case class == escapeUTF8:
			if beyondASCII != 0 && utf8.Valid(s[i:]) {
				beyondASCII = 0 // all of the rest stands for itself
			}
			r, n := rune(0), 1
			if beyondASCII != 0 {
				r, n = utf8.DecodeRune(s[i:])
			}
			if r == utf8.RuneError && n == 1 {
				j += copy(buf[j:], "\uFFFD")
			} else {
				j += copy(buf[j:], s[i:i+n])
			}
			i += n - 1
		case class == escapeHex:
			j += copy(buf[j:], `\u00`)
			buf[j], buf[j+1] = hexDigits[c>>4], hexDigits[c&15]
			j += 2
		default:
			buf[j], buf[j+1] = '\\', class
			j += 2
		}
		i++
	}
	return dst[:j]
}

// maxStep is room for what one turn of appendEscaped writes: up to seven bytes as
// they are, then one escape of six.
const maxStep = 16

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// specialBytes marks, by its high bit, the lowest byte of w that does not stand for
// itself in a JSON string: a control character, a quote or a backslash. Marks above
// the lowest may be wrong, since a subtraction borrows from the next byte; one below
// it cannot be, since only a marked byte borrows.
func specialBytes(w uint64) uint64 {
	quote := w ^ lowBits*'"'
	slash := w ^ lowBits*'\\'
	return ((w-lowBits*0x20)&^w | (quote-lowBits)&^quote | (slash-lowBits)&^slash) & highBits
}

const hexDigits = "0123456789abcdef"

// Classes of escapeOf beside 0, a byte that stands for itself, and the letter of a
// two-character escape.
const (
	escapeHex  = 1
	escapeUTF8 = 2
)

// escapeOf tells how a byte is written inside a JSON string.
var escapeOf = func() (class [256]byte) {
	for c := range 0x20 {
		class[c] = escapeHex
	}
	for c := utf8.RuneSelf; c < 256; c++ {
		class[c] = escapeUTF8
	}
	class['"'], class['\\'] = '"', '\\'
	class['\b'], class['\f'], class['\n'], class['\r'], class['\t'] = 'b', 'f', 'n', 'r', 't'
	return class
}()
