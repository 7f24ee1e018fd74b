package bench

import (
	"strings"
	"testing"
)

func TestParseAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		in     string
		status int
		body   string
		last   bool
		ended  bool // needs the end of the connection
	}{
		"a length":         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", false, false},
		"no body":          {"HTTP/1.1 503 x\r\ncontent-length:0\r\n\r\n", 503, "", false, false},
		"chunks":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n", 200, "1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n", false, false},
		"chunks, trailers": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", 200, "0\r\nA: b\r\n\r\n", false, false},
		"closes":           {"HTTP/1.1 401 x\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", 401, "x", true, false},
		"old":              {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", true, false},
		"old, kept":        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, false},
		"until the end":    {"HTTP/1.1 200 OK\r\n\r\n{}", 200, "{}", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			for cut := range len(c.in) {
				if a, ok := parseAnswer([]byte(c.in[:cut]), false); ok {
					t.Fatalf("%q is complete: %+v", c.in[:cut], a)
				}
			}
			if c.ended {
				if _, ok := parseAnswer([]byte(c.in), false); ok {
					t.Fatal("complete before the connection ended")
				}
			}
			a, ok := parseAnswer([]byte(c.in+map[bool]string{true: "", false: "HTTP"}[c.ended]), c.ended)
			if !ok || a.status != c.status || string(a.body) != c.body || a.last != c.last || a.length != len(c.in) {
				t.Errorf("%+v, body %q, %v", a, a.body, ok)
			}
		})
	}
	for _, nonsense := range []string{"x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"} {
		if a, ok := parseAnswer([]byte(nonsense), false); !ok || a.status == 200 || !a.last {
			t.Errorf("%q: %+v, %v", nonsense, a, ok)
		}
	}
}

// FuzzParseAnswer: an answer lies within the input, and is the same without what follows.
func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("f", 9) + "\r\n"} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, p []byte, ended bool) {
		a, ok := parseAnswer(p, ended)
		if !ok {
			return
		}
		if a.length > len(p) || len(a.body) > a.length {
			t.Fatalf("%d of %d bytes, body %d", a.length, len(p), len(a.body))
		}
		if again, ok := parseAnswer(p[:a.length], ended); !ok || again.status != a.status || again.length != a.length {
			t.Fatalf("without what follows: %+v, %v; want %+v", again, ok, a)
		}
	})
}
