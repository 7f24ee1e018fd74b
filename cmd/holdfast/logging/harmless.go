package logging

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxStringBytes bounds a string in a record: it may come from a client.
	maxStringBytes = 128
	// maxOwnBytes bounds msg, knob and err: they are the program's own words,
	// though an err may quote a client.
	maxOwnBytes = 1024
)

// timeFormat has a fixed width, so that lines sort as text.
const timeFormat = "2006-01-02T15:04:05.000Z"

// harmless is called for each field of each record that is written.
func harmless(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 {
		switch a.Key {
		case slog.TimeKey:
			a.Value = slog.StringValue(a.Value.Time().UTC().Format(timeFormat))
			return a
		case slog.LevelKey:
			return a
		case slog.MessageKey:
			a.Value = slog.StringValue(escape(a.Value.String(), maxOwnBytes))
			return a
		}
	}
	limit := maxStringBytes
	if a.Key == "err" || a.Key == "knob" {
		limit = maxOwnBytes
	}
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(escape(v.String(), limit))
	case slog.KindAny:
		switch x := v.Any().(type) {
		case error:
			a.Value = slog.StringValue(escape(x.Error(), limit))
		case fmt.Stringer:
			a.Value = slog.StringValue(escape(x.String(), limit))
		case []byte:
			a.Value = slog.StringValue(escape(string(x), limit))
		case nil:
		default:
			a.Value = slog.StringValue(escape(fmt.Sprint(x), limit))
		}
	}
	return a
}

// escape writes what cannot be printed as \n, \x1b or \u202e and cuts the
// result at max bytes on a character's border, with "…" behind the cut. A
// terminal, a pager or a line-based reader then sees nothing but text.
func escape(s string, max int) string {
	if len(s) <= max && printable(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		piece := s[i : i+n]
		if r == utf8.RuneError && n == 1 || !strconv.IsPrint(r) {
			quoted := strconv.Quote(piece)
			piece = quoted[1 : len(quoted)-1]
		}
		if b.Len()+len(piece) > max {
			b.WriteString("…")
			break
		}
		b.WriteString(piece)
		i += n
	}
	return b.String()
}

func printable(s string) bool {
	for i, r := range s {
		if !strconv.IsPrint(r) {
			return false
		}
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return false
		}
	}
	return true
}
