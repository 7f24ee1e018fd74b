package frame

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// utf8Samples are texts on both sides of every border of RFC 3629.
var utf8Samples = []string{
	"", "a", "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "日本語", "😀😀", "a😀b€c\u07ffd",
	"\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff",
	"\xc0\x80", "\xc1\xbf", "\xc2", "\xdf", "\xc2\x7f", "\xc2\xc0", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xe0\xa0", "\xe0\xa0\x7f",
	"\xed\xa0\x80", "\xed\xbf\xbf", "\xed\x9f", "\xef\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf0\x90\x80\xc0",
	"\xf4\x8f\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff", "\x80", "\xbf", "a\x80b",
	"\xe2\x82\xac\xe2\x82", "\xf0\x9f\x98\x80\xf0", "κόσμε\xed\xa0\x80edited", "\xe2\xe2\x82\xac", "\xf0\x9f\xe2\x82\xac",
}

// bytewise is the verdict of unicode/utf8 on a text that comes byte by byte:
// whether it is whole and valid, and how many bytes were taken before it became
// hopeless (-1: never).
func bytewise(s string) (valid bool, hopelessAt int) {
	for i := range len(s) {
		if !couldContinue(s[:i+1]) {
			return false, i
		}
	}
	return utf8.ValidString(s), -1
}

// couldContinue tells whether some text behind s makes it valid.
func couldContinue(s string) bool {
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r != utf8.RuneError || size > 1 {
			s = s[size:]
			continue
		}
		if utf8.FullRuneInString(s) {
			return false
		}
		return true
	}
	return true
}

// TestUTF8AtEverySplit cuts each sample into three pieces in every way.
func TestUTF8AtEverySplit(t *testing.T) {
	count := 0
	check := func(s string) {
		valid, hopelessAt := bytewise(s)
		for i := 0; i <= len(s); i++ {
			for j := i; j <= len(s); j++ {
				var u utf8Check
				ok, taken := true, 0
				for _, part := range []string{s[:i], s[i:j], s[j:]} {
					if ok = u.write([]byte(part)); !ok {
						break
					}
					taken += len(part)
				}
				count++
				if got := ok && u.whole(); got != valid {
					t.Fatalf("%q cut at %d and %d: valid %v, want %v", s, i, j, got, valid)
				}
				// Fails in the piece that holds the hopeless byte, no later.
				if !ok && taken > hopelessAt {
					t.Fatalf("%q cut at %d and %d: refused late", s, i, j)
				}
				if ok && hopelessAt >= 0 {
					t.Fatalf("%q cut at %d and %d: not refused", s, i, j)
				}
			}
		}
	}
	for _, s := range utf8Samples {
		check(s)
		check("ascii before " + s)
		check(s + "é")
		check("é" + s + s)
	}
	t.Logf("%d splits", count)
}

// TestUTF8EveryShortString tries every two-byte text and every text of a lead, a
// second byte and two border bytes, whole and byte by byte.
func TestUTF8EveryShortString(t *testing.T) {
	check := func(s []byte) {
		valid, hopelessAt := bytewise(string(s))
		var at, by utf8Check
		if got := at.write(s) && at.whole(); got != valid {
			t.Fatalf("%x at once: %v, want %v", s, got, valid)
		}
		failed := -1
		for i := range s {
			if !by.write(s[i : i+1]) {
				failed = i
				break
			}
		}
		if failed != hopelessAt {
			t.Fatalf("%x byte by byte: refused at %d, want %d", s, failed, hopelessAt)
		}
	}
	borders := []byte{0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff}
	for a := range 256 {
		for b := range 256 {
			check([]byte{byte(a), byte(b)})
			if a < 0xe0 {
				continue
			}
			for _, c := range borders {
				check([]byte{byte(a), byte(b), c})
				check([]byte{byte(a), byte(b), c, 0x80})
				check([]byte{byte(a), byte(b), 0x80, c})
			}
		}
	}
}

// TestUTF8InMessages puts samples through the parser as one frame and as two
// fragments at every border.
func TestUTF8InMessages(t *testing.T) {
	for _, sample := range utf8Samples {
		valid := utf8.ValidString(sample)
		for cut := 0; cut <= len(sample); cut++ {
			for _, p := range [][]byte{
				wire(text(sample)),
				wire(textMore(sample[:cut]), control(OpPing, ""), cont(sample[cut:])),
			} {
				s := newSession(t)
				s.feed(p[:len(p)/2])
				s.feed(p[len(p)/2:])
				if valid != (s.err == nil) {
					t.Fatalf("%q cut at %d: error %v", sample, cut, s.err)
				}
				if !valid {
					s.wantRefused(1007, errTextUTF8)
				}
			}
		}
	}
}

func FuzzUTF8(f *testing.F) {
	for _, s := range utf8Samples {
		f.Add([]byte(s), uint8(1))
	}
	f.Add([]byte(strings.Repeat("é", 50)), uint8(3))
	f.Fuzz(func(t *testing.T, p []byte, step uint8) {
		before := bytes.Clone(p)
		var u utf8Check
		ok := true
		for rest := p; len(rest) > 0 && ok; {
			n := min(len(rest), int(step)+1)
			ok = u.write(rest[:n])
			rest = rest[n:]
		}
		if got, want := ok && u.whole(), utf8.Valid(p); got != want {
			t.Fatalf("valid %v, want %v", got, want)
		}
		if !bytes.Equal(p, before) {
			t.Fatal("input changed")
		}
	})
}
