package pusher

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAppendString(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", `""`},
		{"plain", "hello", `"hello"`},
		{"quote and backslash", `a"b\c`, `"a\"b\\c"`},
		{"class name", `App\Events\OrderShipped`, `"App\\Events\\OrderShipped"`},
		{"short escapes", "\b\f\n\r\t", `"\b\f\n\r\t"`},
		{"other controls", "\x00\x01\x1f", `"\u0000\u0001\u001f"`},
		{"left alone", "</script>&\u2028\x7f", "\"</script>&\u2028\x7f\""},
		{"not ASCII", "h\u00e9llo \u65e5\u672c \U0001F600", "\"h\u00e9llo \u65e5\u672c \U0001F600\""},
		{"JSON text", `{"id":1,"name":"Ann"}`, `"{\"id\":1,\"name\":\"Ann\"}"`},
		{"bad byte", "a\xffb", "\"a\uFFFDb\""},
		{"bad bytes", "\xe2\x82", "\"\uFFFD\uFFFD\""},
		{"surrogate in UTF-8", "\xed\xa0\x80", "\"\uFFFD\uFFFD\uFFFD\""},
		{"bad byte between words of eight", "12345678\xff12345678", "\"12345678\uFFFD12345678\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(AppendString([]byte("x"), c.in)); got != "x"+c.want {
				t.Errorf("got %s, want x%s", got, c.want)
			}
		})
	}
}

// TestAppendStringAtEveryPlace puts each byte that needs an escape at each place of
// the eight that are looked at together.
func TestAppendStringAtEveryPlace(t *testing.T) {
	for c := range 256 {
		for at := range 17 {
			in := strings.Repeat("\x20", at) + string([]byte{byte(c)}) + strings.Repeat("~", 17-at)
			wantText(t, AppendString(nil, in), in)
		}
	}
}

// wantText fails unless encoded is a JSON string of exactly the text.
func wantText(t *testing.T, encoded []byte, text string) {
	t.Helper()
	var back string
	if err := json.Unmarshal(encoded, &back); err != nil {
		t.Fatalf("%q became %q: %v", text, encoded, err)
	}
	if back != perByte(text) {
		t.Fatalf("%q became %q", text, encoded)
	}
}

// perByte replaces each bad byte, as encoding/json does.
func perByte(s string) string { return string([]rune(s)) }

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", `a"b\c`, "\x00\x1f", "h\u00e9", "\xff\xfe", "\xed\xa0\x80", `{"a":"b"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := AppendString(nil, s)
		wantText(t, encoded, s)
		if again := appendUnescaped(nil, encoded[1:len(encoded)-1]); string(again) != perByte(s) {
			t.Fatalf("%q is read back as %q", encoded, again)
		}
	})
}

func TestAppendStringAllocations(t *testing.T) {
	s, dst := sampleData(1024), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(1000, func() { dst = AppendString(dst[:0], s) }); n > 0 {
		t.Errorf("AppendString into a large enough slice allocates %v times", n)
	}
}

// sampleData is a JSON text of about n bytes, like the data of an event.
func sampleData(n int) string {
	const item = `{"id":10427,"name":"Ann Example","status":"shipped","note":"left at the door, second floor"},`
	return "[" + strings.Repeat(item, max(1, n/len(item))) + "0]"
}

func BenchmarkAppendString(b *testing.B) {
	for _, c := range []struct{ name, s string }{
		{"json 100 bytes", sampleData(100)},
		{"json 1 KiB", sampleData(1024)},
		{"json 10 KiB", sampleData(10 << 10)},
		{"base64 1 KiB", strings.Repeat("QUJDREVG", 128)},
		{"japanese 1 KiB", strings.Repeat("\u65e5\u672c\u8a9e", 114)},
	} {
		b.Run(c.name, func(b *testing.B) {
			dst := make([]byte, 0, 3*len(c.s))
			b.SetBytes(int64(len(c.s)))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendString(dst[:0], c.s)
			}
		})
	}
}
