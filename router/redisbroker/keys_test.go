package redisbroker

import (
	"strings"
	"testing"
)

func TestChannelNames(t *testing.T) {
	k := keys{prefix: "holdfast:"}
	for key, want := range map[string]string{
		"app-id\x1fnews":                     "holdfast:{app-id:news}",
		"app\x1f#server-to-user-a{b}c:d%e f": "holdfast:{app:#server-to-user-a%7bb%7dc%3ad%25e%20f}",
		"app\x1fprivate-é":                   "holdfast:{app:private-%c3%a9}",
	} {
		got := k.of(key)
		if got != want {
			t.Errorf("%q is named %q, want %q", key, got, want)
		}
		if back, ok := k.channel(got); !ok || back != key {
			t.Errorf("%q is of %q, %v", got, back, ok)
		}
	}
	for _, name := range []string{"other:{a:b}", "holdfast:{a:b", "holdfast:{a%2}", "holdfast:{a%zz}", "holdfast:{a%41}", "holdfast:{a b}"} {
		if key, ok := k.channel(name); ok {
			t.Errorf("%q was taken for the channel of %q", name, key)
		}
	}
}

// TestSlotOf: the first is the specification's own example of CRC16, the others are
// hash tags as it describes them.
func TestSlotOf(t *testing.T) {
	for name, want := range map[string]uint16{
		"123456789":            0x31c3 % slotCount,
		"{123456789}":          0x31c3 % slotCount,
		"a{123456789}b{other}": 0x31c3 % slotCount,
	} {
		if got := slotOf(name); got != want {
			t.Errorf("%q: slot %d, want %d", name, got, want)
		}
	}
	if slotOf("a{}b") == slotOf("") {
		t.Error("an empty tag was taken for one")
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("app\x1fnews{}%:")
	f.Fuzz(func(t *testing.T, key string) {
		name := escape(key)
		if strings.ContainsAny(name, "{} \x1f") {
			t.Fatalf("%q became %q", key, name)
		}
		if back, ok := unescape(name); !ok || back != key {
			t.Fatalf("%q became %q and %q, %v", key, name, back, ok)
		}
		if other, ok := unescape(key); ok && escape(other) != key {
			t.Fatalf("%q was read as %q", key, other)
		}
	})
}

// channel is the key that a pub/sub channel is of; ok is false when it is none of ours.
func (k keys) channel(name string) (key string, ok bool) {
	rest, ok := strings.CutPrefix(name, k.prefix+"{")
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, "}")
	if !ok {
		return "", false
	}
	return unescape(rest)
}

// unescape is the inverse of escape; ok is false for a text that escape never makes.
func unescape(s string) (key string, ok bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, ':') < 0 {
		return s, escape(s) == s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ':':
			out = append(out, separator)
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			out = append(out, byte(hi<<4|lo))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out), escape(string(out)) == s
}
