package pusher

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// appendUnescaped appends the text of the inside of a valid JSON string. Half a
// surrogate pair becomes U+FFFD.
func appendUnescaped(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		switch c := s[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := unescapeRune(s[i:])
			dst = utf8.AppendRune(dst, r)
			s = s[i+n:]
			continue
		default:
			dst = append(dst, c)
		}
		s = s[i+2:]
	}
}

// unescapeRune reads the \uXXXX at the beginning of s, and the one behind it when
// both are a surrogate pair, and returns how many bytes that was.
func unescapeRune(s []byte) (r rune, n int) {
	r, _ = hex4(s, 2)
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		low, _ := hex4(s, 8)
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}
