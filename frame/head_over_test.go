package frame

import (
	"errors"
	"strings"
	"testing"
)

// TestHeadOver: whatever Parse calls too large, Over names the limit of, and the
// amount where it is known.
func TestHeadOver(t *testing.T) {
	lim := HeadLimits{LineBytes: 2000, HeadBytes: 3000, Count: 5}
	const line, host = "GET / HTTP/1.1\r\n", "Host: x\r\n"
	field := func(bytes int) string { return "X: " + strings.Repeat("x", bytes-len("X: \r\n")) + "\r\n" }
	target := func(bytes int) string {
		return "GET /" + strings.Repeat("a", bytes-len("GET / HTTP/1.1")) + " HTTP/1.1"
	}
	for _, c := range []struct {
		name, head string
		want       HeadOver
		sentence   string
	}{
		{"line by one", target(2001) + "\r\n" + host + "\r\n", HeadOver{Limit: 2000, Actual: 2001, Knob: "limits.request_line_bytes"},
			"the request line is over 2,000 bytes: raise limits.request_line_bytes"},
		{"line", target(2345) + "\r\n" + host + "\r\n", HeadOver{Limit: 2000, Actual: 2345, Knob: "limits.request_line_bytes"},
			"the request line is 2,345 bytes, limit 2,000: raise limits.request_line_bytes"},
		{"line without an end", target(9000), HeadOver{Limit: 2000, Actual: 2001, Knob: "limits.request_line_bytes"},
			"the request line is over 2,000 bytes: raise limits.request_line_bytes"},
		{"fields by one", line + host + field(3001-len(host)-2) + "\r\n", HeadOver{Limit: 3000, Actual: 3001, Knob: "limits.head_bytes"},
			"the fields of the request head are over 3,000 bytes: raise limits.head_bytes"},
		{"fields", line + host + field(3210-len(host)-2) + "\r\n", HeadOver{Limit: 3000, Actual: 3210, Knob: "limits.head_bytes"},
			"the fields of the request head are 3,210 bytes, limit 3,000: raise limits.head_bytes"},
		{"line, and fields without an end", target(2345) + "\r\n" + host + field(6000), HeadOver{Limit: 2000, Actual: 2345, Knob: "limits.request_line_bytes"},
			"the request line is 2,345 bytes, limit 2,000: raise limits.request_line_bytes"},
		{"fields longer than any head", line + host + field(6000) + "\r\n", HeadOver{Limit: 3000, Actual: 3001, Knob: "limits.head_bytes"},
			"the fields of the request head are over 3,000 bytes: raise limits.head_bytes"},
		{"fields without an end", line + host + field(6000), HeadOver{Limit: 3000, Actual: 3001, Knob: "limits.head_bytes"},
			"the fields of the request head are over 3,000 bytes: raise limits.head_bytes"},
		{"count", line + host + strings.Repeat(field(10), 6) + "\r\n", HeadOver{Limit: 5, Actual: 7, Knob: "limits.head_count"},
			"the request head has 7 fields, limit 5: raise limits.head_count"},
		{"count without an end", line + host + strings.Repeat(field(10), 6), HeadOver{Limit: 5, Actual: 7, Knob: "limits.head_count"},
			"the request head has 7 fields, limit 5: raise limits.head_count"},
		{"a body of empty lines behind it", line + host + strings.Repeat(field(10), 6) + "\r\n\r\n\r\n\r\n", HeadOver{Limit: 5, Actual: 7, Knob: "limits.head_count"},
			"the request head has 7 fields, limit 5: raise limits.head_count"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h Head
			if err := h.Parse([]byte(c.head), lim); !errors.Is(err, ErrHeadTooLarge) {
				t.Fatalf("Parse says %v", err)
			}
			got := lim.Over([]byte(c.head))
			if s := got.Sentence(); s != c.sentence {
				t.Errorf("got %q, want %q", s, c.sentence)
			}
			if got.what, got.unit = "", ""; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	t.Run("the response", func(t *testing.T) {
		over, is := lim.Judge(10, 10, 6)
		if !is {
			t.Fatal("six fields are not over five")
		}
		got := string(over.AppendHTTP(nil))
		want := `{"error":"the request head has over 5 fields: raise limits.head_count","code":"head_too_large","status":431,"limit":5,"actual":6,"knob":"limits.head_count"}`
		if !strings.HasPrefix(got, "HTTP/1.1 431 ") || !strings.HasSuffix(got, "\r\nConnection: close\r\n\r\n"+want) {
			t.Errorf("got %s", got)
		}
	})
	t.Run("within", func(t *testing.T) {
		if over, is := lim.Judge(2000, 3000, 5); is {
			t.Errorf("got %+v", over)
		}
	})
}

// headOverAgrees is the part of FuzzHead that knows of limits: a head is too large
// to Parse exactly when it has a measure that is over, and Over names one.
func headOverAgrees(t *testing.T, p []byte, lim HeadLimits, err error) {
	t.Helper()
	if !errors.Is(err, ErrHeadTooLarge) {
		return
	}
	over := lim.Over(p)
	if over.Knob == "" || over.Actual <= over.Limit {
		t.Fatalf("Parse calls %q too large, Over finds %+v", p, over)
	}
}
