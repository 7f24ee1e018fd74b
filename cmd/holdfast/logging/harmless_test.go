package logging

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	long := strings.Repeat("x", 200)
	cases := []struct{ name, in, want string }{
		{"plain", "private-orders.1", "private-orders.1"},
		{"letters of other scripts", "žluťoučký 日本", "žluťoučký 日本"},
		{"a new line", "a\nlevel=ERROR", `a\nlevel=ERROR`},
		{"a terminal's escape", "\x1b[31m", `\x1b[31m`},
		{"a C1 control", "\u009b31m", `\u009b31m`},
		{"a bidirectional override", "a\u202eb", `a\u202eb`},
		{"no UTF-8", "a\xff\xfeb", `a\xff\xfeb`},
		{"the replacement character itself", "a\uFFFDb", "a\uFFFDb"},
		{"128 bytes", long[:128], long[:128]},
		{"129 bytes", long[:129], long[:128] + "…"},
		{"a character over the border", long[:127] + "é", long[:127] + "…"},
		{"an escape over the border", long[:126] + "\n" + "\x00", long[:126] + `\n…`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := escape(tc.in, maxStringBytes); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b]0;\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		got := escape(s, maxStringBytes)
		if len(got) > maxStringBytes+len("…") || !utf8.ValidString(got) || !printable(got) {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func logged(format string, args ...any) string {
	var out bytes.Buffer
	now := func() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 3600)) }
	log, _ := New(Options{Out: &out, Format: format, Level: slog.LevelInfo, Now: now})
	log.Info("hello", args...)
	return strings.TrimSpace(out.String())
}

// hidden hides itself from a log, as a secret of the configuration does.
type hidden string

func (hidden) LogValue() slog.Value { return slog.StringValue("(set)") }

func TestRecords(t *testing.T) {
	long := strings.Repeat("x", 2000)
	cases := []struct {
		name, format string
		args         []any
		want         string // what follows msg
	}{
		{"json", "json", []any{"app", "shop", "conn", 7}, `"app":"shop","conn":7}`},
		{"a buffer is not a terminal", "auto", []any{"code", 4201}, `"code":4201}`},
		{"text", "text", []any{"channel", "a b"}, `channel="a b"`},
		{"client's string", "json", []any{"channel", "a\x1b" + long}, `"channel":"a\\x1b` + long[:123] + `…"}`},
		{"error", "json", []any{"err", errors.New(long)}, `"err":"` + long[:1024] + `…"}`},
		{"stringer", "json", []any{"remote", netip.MustParseAddrPort("[::1]:80")}, `"remote":"[::1]:80"}`},
		{"bytes", "json", []any{"channel", []byte("news")}, `"channel":"news"}`},
		{"anything", "json", []any{"actual", []int{1, 2}}, `"actual":"[1 2]"}`},
		{"secret", "json", []any{"token", hidden("hunter2")}, `"token":"(set)"}`},
		{"group", "json", []any{slog.Group("g", "level", "a\nb")}, `"g":{"level":"a\\nb"}}`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got := logged(tc.format, tc.args...)
			_, rest, ok := strings.Cut(got, "hello")
			if rest = strings.TrimLeft(rest, `", `); !ok || rest != strings.TrimLeft(tc.want, `"`) {
				t.Errorf("got  %s\nwant %s", rest, tc.want)
			}
		})
	}
}

func TestTimeAndLevel(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	log, _ := New(Options{Out: &out, Format: "json", Level: level, Now: time.Now})
	log.Debug("a")
	level.Set(Level("debug"))
	log.Debug("b")
	if got := out.String(); strings.Contains(got, `"a"`) || !strings.Contains(got, `"level":"DEBUG","msg":"b"`) {
		t.Errorf("lines %s", got)
	}
	if got := out.String(); !strings.Contains(got, `Z","level"`) || len(got) < 30 || got[19+9] != '.' {
		t.Errorf("time in %s", got)
	}
	for word, want := range map[string]slog.Level{"debug": -4, "info": 0, "warn": 4, "error": 8, "": 0} {
		if got := Level(word); got != want {
			t.Errorf("%q is %v", word, got)
		}
	}
}
