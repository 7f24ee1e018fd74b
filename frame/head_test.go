package frame

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

var headLimits = HeadLimits{LineBytes: 4 << 10, HeadBytes: 8 << 10, Count: 64}

// chromeUpgrade is what a browser sends.
const chromeUpgrade = "GET /app/app-key?protocol=7&client=js&version=8.6.0&flash=false HTTP/1.1\r\n" +
	"Host: ws.example.com\r\n" +
	"Connection: Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: https://www.example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Cookie: session=eyJpdiI6IkZ3; theme=dark\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"\r\n"

// request builds a request from lines joined by CRLF, with its empty line.
func request(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

func TestHeadOfABrowser(t *testing.T) {
	var h Head
	if err := h.Parse([]byte(chromeUpgrade+"\x81\x80abcd"), headLimits); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s | %s | %s | host %s | origin %s | key %s | ext %s", h.Method, h.Target, h.Path, h.RawQuery,
		h.Host, h.Origin, h.Key, h.Extensions)
	want := "GET /app/app-key?protocol=7&client=js&version=8.6.0&flash=false | /app/app-key | protocol=7&client=js&version=8.6.0&flash=false" +
		" | host ws.example.com | origin https://www.example.com | key dGhlIHNhbXBsZSBub25jZQ== | ext permessage-deflate; client_max_window_bits"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if h.Len != len(chromeUpgrade) || !h.Upgrade || h.UpgradeError != 0 || h.ContentLength != -1 || !h.KeepAlive || h.HTTP10 || h.Chunked || h.Expect100 {
		t.Errorf("%+v", h)
	}
}

func TestHeadAccepted(t *testing.T) {
	const get = "GET /x HTTP/1.1"
	cases := []struct {
		name  string
		input string
		ok    func(h *Head) bool
	}{
		{"smallest", request(get, "Host:"), func(h *Head) bool { return h.Host != nil && len(h.Host) == 0 && h.RawQuery == nil }},
		{"HTTP/1.0 without a host", request("GET / HTTP/1.0"), func(h *Head) bool { return h.HTTP10 && !h.KeepAlive && h.Host == nil }},
		{"HTTP/1.0 keep-alive", request("GET / HTTP/1.0", "Connection: Keep-Alive"), func(h *Head) bool { return h.KeepAlive }},
		{"close", request(get, "Host: a", "Connection: foo, close"), func(h *Head) bool { return !h.KeepAlive }},
		{"close wins", request(get, "Host: a", "Connection: keep-alive", "connection: CLOSE"), func(h *Head) bool { return !h.KeepAlive }},
		{"post", request("POST /apps/1/events?auth_key=k HTTP/1.1", "Host: a:8080", "Content-Type: application/json", "Content-Length: 017"),
			func(h *Head) bool { return h.ContentLength == 17 && string(h.ContentType) == "application/json" }},
		{"largest length", request("POST / HTTP/1.1", "Host: a", "Content-Length: 999999999999999999"), func(h *Head) bool { return h.ContentLength == 999999999999999999 }},
		{"length of a get", request(get, "Host: a", "Content-Length: 0"), func(h *Head) bool { return h.ContentLength == 0 }},
		{"chunked", request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: Chunked"), func(h *Head) bool { return h.Chunked && h.ContentLength == -1 }},
		{"expect", request("POST / HTTP/1.1", "Host: a", "Content-Length: 3", "Expect: 100-Continue"), func(h *Head) bool { return h.Expect100 }},
		{"names in any case", request(get, "hOsT: a", "ORIGIN: b"), func(h *Head) bool { return string(h.Host) == "a" && string(h.Origin) == "b" }},
		{"white space around a value", request(get, "Host: \t a \t"), func(h *Head) bool { return string(h.Host) == "a" }},
		{"no space before a value", request(get, "Host:a"), func(h *Head) bool { return string(h.Host) == "a" }},
		{"tab and bytes over 127 in a value", request(get, "Host: a", "X: a\tb\xff\x80c defgh"), func(h *Head) bool { return true }},
		{"empty value", request(get, "Host: a", "X:"), func(h *Head) bool { return true }},
		{"every token character in a name", request(get, "Host: a", "!#$%&'*+-.^_`|~09azAZ: x"), func(h *Head) bool { return true }},
		{"percent-encoded path", request("GET /a%2Fb%7e?c=%zz HTTP/1.1", "Host: a"), func(h *Head) bool { return string(h.Path) == "/a%2Fb%7e" && string(h.RawQuery) == "c=%zz" }},
		{"empty query", request("GET /x? HTTP/1.1", "Host: a"), func(h *Head) bool { return h.RawQuery != nil && len(h.RawQuery) == 0 && string(h.Path) == "/x" }},
		{"second question mark", request("GET /x?a?b HTTP/1.1", "Host: a"), func(h *Head) bool { return string(h.RawQuery) == "a?b" }},
		{"double slash", request("GET //x/../y HTTP/1.1", "Host: a"), func(h *Head) bool { return string(h.Path) == "//x/../y" }},
		{"any method token", request("M-SEARCH /x HTTP/1.1", "Host: a"), func(h *Head) bool { return string(h.Method) == "M-SEARCH" }},
		{"IPv6 host", request(get, "Host: [::1]:8080"), func(h *Head) bool { return string(h.Host) == "[::1]:8080" }},
		{"body behind", request("POST / HTTP/1.1", "Host: a", "Content-Length: 4") + "\n\n\r\n", func(h *Head) bool { return true }},
		{"upgrade to something else", request(get, "Host: a", "Connection: Upgrade", "Upgrade: h2c"), func(h *Head) bool { return !h.Upgrade }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var h Head
			if err := h.Parse([]byte(c.input), headLimits); err != nil {
				t.Fatal(err)
			}
			if !c.ok(&h) {
				t.Fatalf("%+v", h)
			}
			if want := strings.Index(c.input, "\r\n\r\n") + 4; h.Len != want {
				t.Fatalf("length %d, want %d", h.Len, want)
			}
		})
	}
}

// malformed are heads that two servers could read differently, or that no client
// of ours sends.
var malformed = []struct{ name, input string }{
	{"Content-Length and Transfer-Encoding", request("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Transfer-Encoding: chunked")},
	{"Transfer-Encoding and Content-Length", request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 5")},
	{"two Content-Lengths", request("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Content-Length: 6")},
	{"two equal Content-Lengths", request("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "content-length: 5")},
	{"list of Content-Lengths", request("POST / HTTP/1.1", "Host: a", "Content-Length: 5, 5")},
	{"Content-Length with a sign", request("POST / HTTP/1.1", "Host: a", "Content-Length: +5")},
	{"negative Content-Length", request("POST / HTTP/1.1", "Host: a", "Content-Length: -5")},
	{"empty Content-Length", request("POST / HTTP/1.1", "Host: a", "Content-Length:")},
	{"Content-Length in hexadecimal", request("POST / HTTP/1.1", "Host: a", "Content-Length: 0x5")},
	{"Content-Length of 19 digits", request("POST / HTTP/1.1", "Host: a", "Content-Length: 1000000000000000000")},
	{"Content-Length with a blank inside", request("POST / HTTP/1.1", "Host: a", "Content-Length: 1 0")},
	{"two Transfer-Encodings", request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")},
	{"Transfer-Encoding list", request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked")},
	{"Transfer-Encoding identity", request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: identity")},
	{"Transfer-Encoding misspelt", request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: xchunked")},
	{"Transfer-Encoding with a vertical tab", request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: \x0bchunked")},
	{"Transfer-Encoding in HTTP/1.0", request("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked")},
	{"space before the colon", request("POST / HTTP/1.1", "Host: a", "Content-Length : 5")},
	{"tab before the colon", request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding\t: chunked")},
	{"folded value", request("GET / HTTP/1.1", "Host: a", "X: b", " c")},
	{"folded value with a tab", request("GET / HTTP/1.1", "Host: a", "X: b", "\tTransfer-Encoding: chunked")},
	{"space before the first name", request("GET / HTTP/1.1", " Host: a")},
	{"no colon", request("GET / HTTP/1.1", "Host: a", "nonsense")},
	{"no name", request("GET / HTTP/1.1", "Host: a", ": x")},
	{"control in a name", request("GET / HTTP/1.1", "Host: a", "X\x01: x")},
	{"byte over 127 in a name", request("GET / HTTP/1.1", "Host: a", "X\xe9: x")},
	{"NUL in a value", request("GET / HTTP/1.1", "Host: a", "X: a\x00b")},
	{"NUL in a long value", request("GET / HTTP/1.1", "Host: a", "X: 0123456789\x00123456789")},
	{"DEL in a value", request("GET / HTTP/1.1", "Host: a", "X: 01234567\x7f")},
	{"escape in a value", request("GET / HTTP/1.1", "Host: a", "X: 0123\x1b567")},
	{"bare CR in a value", request("GET / HTTP/1.1", "Host: a", "X: a\rb")},
	{"bare CR before a field", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"},
	{"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"},
	{"bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"},
	{"bare LF between fields", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"},
	{"bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n"},
	{"bare LFs only", "GET / HTTP/1.1\nHost: a\n\n"},
	{"two Hosts", request("GET / HTTP/1.1", "Host: a", "Host: a")},
	{"empty Host and another", request("GET / HTTP/1.1", "Host:", "Host: a")},
	{"list of Hosts", request("GET / HTTP/1.1", "Host: a, b")},
	{"user in Host", request("GET / HTTP/1.1", "Host: user@a")},
	{"path in Host", request("GET / HTTP/1.1", "Host: a/b")},
	{"blank in Host", request("GET / HTTP/1.1", "Host: a b")},
	{"no Host", request("GET / HTTP/1.1", "X: a")},
	{"no field at all", request("GET / HTTP/1.1")},
	{"two Origins", request("GET / HTTP/1.1", "Host: a", "Origin: https://a", "Origin: https://b")},
	{"empty line first", "\r\n" + request("GET / HTTP/1.1", "Host: a")},
	{"space first", request(" GET / HTTP/1.1", "Host: a")},
	{"two spaces behind the method", request("GET  / HTTP/1.1", "Host: a")},
	{"two spaces behind the target", request("GET /  HTTP/1.1", "Host: a")},
	{"tab in the request line", request("GET\t/ HTTP/1.1", "Host: a")},
	{"space behind the version", request("GET / HTTP/1.1 ", "Host: a")},
	{"no version", request("GET /", "Host: a")},
	{"no target", request("GET", "Host: a")},
	{"no method", request("/ HTTP/1.1", "Host: a")},
	{"method with a colon", request("GE:T / HTTP/1.1", "Host: a")},
	{"HTTP/1.2", request("GET / HTTP/1.2", "Host: a")},
	{"HTTP/2.0", request("GET / HTTP/2.0", "Host: a")},
	{"HTTP/0.9", request("GET / HTTP/0.9", "Host: a")},
	{"version in lower case", request("GET / http/1.1", "Host: a")},
	{"version with a leading zero", request("GET / HTTP/01.1", "Host: a")},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	{"absolute target", request("GET http://a/ HTTP/1.1", "Host: a")},
	{"authority target", request("CONNECT a:80 HTTP/1.1", "Host: a")},
	{"asterisk target", request("OPTIONS * HTTP/1.1", "Host: a")},
	{"relative target", request("GET x HTTP/1.1", "Host: a")},
	{"fragment in the target", request("GET /x#y HTTP/1.1", "Host: a")},
	{"NUL in the target", request("GET /x\x00 HTTP/1.1", "Host: a")},
	{"DEL in the target", request("GET /x\x7f HTTP/1.1", "Host: a")},
	{"byte over 127 in the target", request("GET /caf\xc3\xa9 HTTP/1.1", "Host: a")},
	{"percent alone in the path", request("GET /x% HTTP/1.1", "Host: a")},
	{"percent with one digit", request("GET /x%2 HTTP/1.1", "Host: a")},
	{"percent without digits", request("GET /x%zz/ HTTP/1.1", "Host: a")},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n"},
	{"a whole request as its own field", request("GET / HTTP/1.1", "Host: a", "GET /admin HTTP/1.1", "Host: b")},
}

func TestHeadMalformed(t *testing.T) {
	for _, c := range malformed {
		t.Run(c.name, func(t *testing.T) {
			var h Head
			if err := h.Parse([]byte(c.input), headLimits); err != ErrHeadMalformed {
				t.Fatalf("error %v\n%+v", err, h)
			}
		})
	}
}

func TestHeadLimits(t *testing.T) {
	lim := HeadLimits{LineBytes: 30, HeadBytes: 60, Count: 3}
	line := "GET /" + strings.Repeat("x", 30-len("GET / HTTP/1.1")) + " HTTP/1.1"
	cases := []struct {
		name  string
		input string
		want  error
	}{
		{"line at the limit", request(line, "Host: a"), nil},
		{"line over the limit", request("X"+line, "Host: a"), ErrHeadTooLarge},
		{"line over the limit, not ended", strings.Repeat("x", 32), ErrHeadTooLarge},
		{"line at the limit, not ended", line + "\r", ErrHeadPartial},
		{"fields at the limit", request("GET / HTTP/1.1", "Host: a", "X: "+strings.Repeat("x", 60-len("Host: a\r\nX: \r\n\r\n"))), nil},
		{"fields over the limit", request("GET / HTTP/1.1", "Host: a", "X: "+strings.Repeat("x", 61-len("Host: a\r\nX: \r\n\r\n"))), ErrHeadTooLarge},
		{"fields over the limit, not ended", "GET / HTTP/1.1\r\nHost: " + strings.Repeat("x", 60), ErrHeadTooLarge},
		{"three fields", request("GET / HTTP/1.1", "Host: a", "A: b", "B: c"), nil},
		{"four fields", request("GET / HTTP/1.1", "Host: a", "A: b", "B: c", "C: d"), ErrHeadTooLarge},
		{"body does not count", request("POST / HTTP/1.1", "Host: a", "Content-Length: 99") + strings.Repeat("\n", 99), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var h Head
			if err := h.Parse([]byte(c.input), lim); err != c.want {
				t.Fatalf("error %v, want %v", err, c.want)
			}
		})
	}
}

// TestHeadByteByByte: every prefix of a good head is partial, and HeadComplete
// says so while it looks at each byte once.
func TestHeadByteByByte(t *testing.T) {
	for _, input := range []string{chromeUpgrade, request("GET / HTTP/1.1", "Host: a"), request("GET / HTTP/1.0")} {
		p := []byte(input)
		var h Head
		for n := range len(p) {
			if err := h.Parse(p[:n], headLimits); err != ErrHeadPartial {
				t.Fatalf("%q: error %v", p[:n], err)
			}
			for _, from := range []int{0, n - 1, n} {
				if HeadComplete(p[:n], max(0, from)) {
					t.Fatalf("%q complete", p[:n])
				}
			}
		}
		if !HeadComplete(p, len(p)-1) || !HeadComplete(p, 0) || !HeadComplete(append(p, "more"...), len(p)-1) {
			t.Fatalf("%q not complete", p)
		}
	}
}

// TestHeadCompleteFindsWhatParseRefuses: an empty line between bare LFs ends the
// waiting too.
func TestHeadCompleteFindsWhatParseRefuses(t *testing.T) {
	for _, p := range []string{"GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n"} {
		found := false
		for n := range len(p) {
			found = HeadComplete([]byte(p[:n+1]), n)
		}
		var h Head
		if err := h.Parse([]byte(p), headLimits); !found || err != ErrHeadMalformed {
			t.Fatalf("%q: complete %v, error %v", p, found, err)
		}
	}
}

func TestUpgradeVerdict(t *testing.T) {
	good := []string{"GET /app/k HTTP/1.1", "Host: a", "Connection: keep-alive, Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	with := func(i int, line string) []string {
		lines := append([]string(nil), good...)
		if line == "" {
			return append(lines[:i], lines[i+1:]...)
		}
		lines[i] = line
		return lines
	}
	plus := func(line string) []string { return append(append([]string(nil), good...), line) }
	cases := []struct {
		name  string
		lines []string
		want  int
	}{
		{"good", good, 0},
		{"case of the tokens", with(3, "upgrade: WebSocket"), 0},
		{"list of protocols", with(3, "Upgrade: h2c, websocket"), 0},
		{"Connection in two fields", append(with(2, "Connection: keep-alive"), "Connection: upgrade"), 0},
		{"empty body", plus("Content-Length: 0"), 0},
		{"not a GET", with(0, "POST /app/k HTTP/1.1"), 400},
		{"HTTP/1.0", with(0, "GET /app/k HTTP/1.0"), 400},
		{"no Connection", with(2, ""), 400},
		{"Connection without upgrade", with(2, "Connection: keep-alive"), 400},
		{"Connection with a longer word", with(2, "Connection: upgraded"), 400},
		{"no version", with(4, ""), 400},
		{"version 8", with(4, "Sec-WebSocket-Version: 8"), 426},
		{"version 14", with(4, "Sec-WebSocket-Version: 14"), 426},
		{"version 013", with(4, "Sec-WebSocket-Version: 013"), 426},
		{"version empty", with(4, "Sec-WebSocket-Version:"), 426},
		{"version list", with(4, "Sec-WebSocket-Version: 13, 8"), 426},
		{"version twice", plus("Sec-WebSocket-Version: 13"), 400},
		{"no key", with(5, ""), 400},
		{"key empty", with(5, "Sec-WebSocket-Key:"), 400},
		{"key too short", with(5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"), 400},
		{"key too long", with(5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA"), 400},
		{"key with one equals sign", with(5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA="), 400},
		{"key of other characters", with(5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j-_=="), 400},
		{"key twice", plus("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
		{"body announced", plus("Content-Length: 3"), 400},
		{"chunked body announced", plus("Transfer-Encoding: chunked"), 400},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var h Head
			if err := h.Parse([]byte(request(c.lines...)), headLimits); err != nil {
				t.Fatal(err)
			}
			if !h.Upgrade || h.UpgradeError != c.want {
				t.Fatalf("upgrade %v, status %d, want %d", h.Upgrade, h.UpgradeError, c.want)
			}
		})
	}
	t.Run("the first of two extension fields", func(t *testing.T) {
		var h Head
		p := request(append(plus("Sec-WebSocket-Extensions: permessage-deflate"), "Sec-WebSocket-Extensions: foo")...)
		if err := h.Parse([]byte(p), headLimits); err != nil || string(h.Extensions) != "permessage-deflate" {
			t.Fatalf("%q, %v", h.Extensions, err)
		}
	})
}

// FuzzHead: whatever we accept, net/http accepts and reads the same way, to the
// byte at which the body begins. The reverse does not hold: we are stricter.
func FuzzHead(f *testing.F) {
	f.Add([]byte(chromeUpgrade))
	f.Add([]byte(request("POST /apps/1/events?auth_key=k HTTP/1.1", "Host: a:8080", "Content-Length: 2", "Expect: 100-continue") + "{}"))
	f.Add([]byte(request("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "0\r\n\r\n"))
	f.Add([]byte(request("GET / HTTP/1.0", "Connection: keep-alive")))
	for _, c := range malformed {
		f.Add([]byte(c.input))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		var h Head
		err := h.Parse(p, headLimits)
		if !bytes.Equal(p, before) {
			t.Fatal("input changed")
		}
		tight := HeadLimits{LineBytes: 30, HeadBytes: 60, Count: 3}
		headOverAgrees(t, p, tight, new(Head).Parse(p, tight))
		complete := HeadComplete(p, 0)
		if complete != bytewiseComplete(p) {
			t.Fatal("HeadComplete depends on how the head came")
		}
		if errors.Is(err, ErrHeadPartial) && complete {
			t.Fatal("complete, and yet partial")
		}
		if err != nil {
			return
		}
		if !HeadComplete(p[:h.Len], 0) || HeadComplete(p[:h.Len-1], 0) {
			t.Fatalf("head of %d bytes ends elsewhere", h.Len)
		}
		compareWithNetHTTP(t, &h, p)
	})
}

func bytewiseComplete(p []byte) bool {
	for n := range len(p) {
		if HeadComplete(p[:n+1], n) {
			return true
		}
	}
	return false
}

func compareWithNetHTTP(t *testing.T, h *Head, p []byte) {
	t.Helper()
	source := bytes.NewReader(p)
	buffered := bufio.NewReader(source)
	r, err := http.ReadRequest(buffered)
	if err != nil {
		if bytes.Contains(bytes.ToLower(p[:h.Len]), []byte("trailer")) {
			return // net/http judges the names in Trailer, which we leave to the API
		}
		t.Fatalf("net/http refuses: %v", err)
	}
	if len(r.Header["Trailer"]) == 0 {
		if got := len(p) - source.Len() - buffered.Buffered(); got != h.Len {
			t.Errorf("body begins at %d, net/http says %d", h.Len, got)
		}
	}
	same := func(what, got, want string) {
		if got != want {
			t.Errorf("%s %q, net/http has %q", what, got, want)
		}
	}
	same("method", string(h.Method), r.Method)
	same("target", string(h.Target), r.RequestURI)
	same("query", string(h.RawQuery), r.URL.RawQuery)
	same("host", string(h.Host), r.Host)
	same("origin", string(h.Origin), r.Header.Get("Origin"))
	same("content type", string(h.ContentType), r.Header.Get("Content-Type"))
	same("extensions", string(h.Extensions), r.Header.Get("Sec-WebSocket-Extensions"))
	same("keep-alive", fmt.Sprint(h.KeepAlive), fmt.Sprint(!r.Close))
	same("HTTP/1.0", fmt.Sprint(h.HTTP10), fmt.Sprint(r.ProtoMinor == 0))
	same("chunked", fmt.Sprint(h.Chunked), fmt.Sprint(len(r.TransferEncoding) > 0))
	if h.ContentLength >= 0 && r.ContentLength != h.ContentLength {
		t.Errorf("length %d, net/http has %d", h.ContentLength, r.ContentLength)
	}
	if h.ContentLength < 0 && !h.Chunked {
		if body, err := io.ReadAll(r.Body); len(body) > 0 || err != nil {
			t.Errorf("net/http sees a body of %d bytes, %v", len(body), err)
		}
	}
	if h.Upgrade && h.UpgradeError == 0 {
		same("key", string(h.Key), r.Header.Get("Sec-Websocket-Key"))
		same("version", "13", strings.Join(r.Header["Sec-Websocket-Version"], " and "))
		same("method of an upgrade", r.Method, "GET")
	}
}
