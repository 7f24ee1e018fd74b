package bench

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func testHandshake(origin string) *handshake {
	h := newHandshake(&target{host: "example.org:8080", prefix: "/ws"}, "app-key", origin, 7)
	return &h
}

func TestHandshakeRequest(t *testing.T) {
	h := testHandshake("https://example.org")
	keys := map[string]bool{}
	for attempt := range uint64(100) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(h.appendRequest(nil, attempt))))
		if err != nil {
			t.Fatal(err)
		}
		if r.URL.Path != "/ws/app/app-key" || r.URL.Query().Get("protocol") != "7" || r.Host != "example.org:8080" ||
			r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Sec-Websocket-Version") != "13" || r.Header.Get("Origin") != "https://example.org" {
			t.Fatalf("%v %v", r.URL, r.Header)
		}
		key := r.Header.Get("Sec-Websocket-Key")
		if nonce, err := base64.StdEncoding.DecodeString(key); err != nil || len(nonce) != 16 || keys[key] {
			t.Fatalf("key %q: %v, used before: %v", key, err, keys[key])
		}
		keys[key] = true
		sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		if got := h.accept(attempt); string(got[:]) != base64.StdEncoding.EncodeToString(sum[:]) {
			t.Fatalf("accept %s", got[:])
		}
	}
	if bytes.Contains(testHandshake("").appendRequest(nil, 1), []byte("Origin")) {
		t.Error("an Origin that nobody gave")
	}
}

func TestHandshakeAnswer(t *testing.T) {
	h := testHandshake("")
	const attempt = 42
	accept := h.accept(attempt)
	good := fmt.Sprintf("HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\nSEC-WEBSOCKET-ACCEPT:  %s \r\n\r\n", accept[:])
	other := h.accept(attempt + 1)
	for name, c := range map[string]struct {
		in  string
		n   int
		err error
	}{
		"complete":               {good, len(good), nil},
		"with a frame":           {good + "\x81\x00", len(good), nil},
		"half":                   {good[:len(good)-1], 0, nil},
		"another one's accept":   {strings.Replace(good, string(accept[:]), string(other[:]), 1), 0, errAccept},
		"no accept":              {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", 0, errAccept},
		"no upgrade":             {strings.Replace(good, "upgrade:", "downgrade:", 1), 0, errUpgrade},
		"an extension":           {strings.Replace(good, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 1), 0, errExtension},
		"refused":                {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 0, httpRefusal{503}},
		"not HTTP":               {"SSH-2.0-OpenSSH\r\n\r\n", 0, errHead},
		"a head without end":     {strings.Repeat("x", maxHeadBytes+1), 0, errHead},
		"status of four digits":  {"HTTP/1.1 1010 x\r\n\r\n", 0, errHead},
		"status without a text":  {"HTTP/1.1 403\r\n\r\n", 0, httpRefusal{403}},
		"status that is no word": {"HTTP/1.1 1x1 y\r\n\r\n", 0, errHead},
	} {
		t.Run(name, func(t *testing.T) {
			if n, err := h.answered([]byte(c.in), attempt); n != c.n || !errors.Is(err, c.err) {
				t.Errorf("%d, %v; want %d, %v", n, err, c.n, c.err)
			}
		})
	}
}
