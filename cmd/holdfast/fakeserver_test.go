package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// fakeServer speaks just enough of the Pusher protocol to check publish and
// tail. It signs with its own few lines, written from the protocol's text, so
// that both sides cannot share a mistake.
type fakeServer struct {
	t       *testing.T
	url     string
	secret  string
	answer  func(w http.ResponseWriter, body map[string]any) // of POST …/events
	sockets chan *fakeSocket
}

// fakeSocket is one WebSocket as its server sees it.
type fakeSocket struct {
	t    *testing.T
	conn net.Conn
	url  *url.URL
}

func startFakeServer(t *testing.T, l net.Listener) *fakeServer {
	t.Helper()
	s := &fakeServer{t: t, url: "http://" + l.Addr().String(), secret: "app-secret", sockets: make(chan *fakeSocket, 4)}
	s.answer = func(w http.ResponseWriter, _ map[string]any) { io.WriteString(w, "{}") }
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apps/{app}/events", s.events)
	mux.HandleFunc("POST /ws/apps/{app}/events", s.events)
	mux.HandleFunc("GET /app/{key}", s.socket)
	mux.HandleFunc("GET /ws/app/{key}", s.socket)
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return s
}

func startFake(t *testing.T) *fakeServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startFakeServer(t, l)
}

func (s *fakeServer) mac(text string) string {
	h := hmac.New(sha256.New, []byte(s.secret))
	io.WriteString(h, text)
	return hex.EncodeToString(h.Sum(nil))
}

// events checks the signature of a publish and lets the test answer.
func (s *fakeServer) events(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	q := r.URL.Query()
	var names []string
	for name := range q {
		if name != "auth_signature" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = name + "=" + q.Get(name)
	}
	path := strings.TrimPrefix(r.URL.Path, "/ws")
	sum := md5.Sum(body)
	if q.Get("auth_signature") != s.mac("POST\n"+path+"\n"+strings.Join(names, "&")) || q.Get("body_md5") != hex.EncodeToString(sum[:]) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"error":"signature does not match","code":"bad_signature","status":401}`)
		return
	}
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		s.t.Errorf("body %s: %v", body, err)
	}
	m["path"] = r.URL.Path
	s.answer(w, m)
}

func (s *fakeServer) socket(w http.ResponseWriter, r *http.Request) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		s.t.Errorf("upgrade: %v", err)
		return
	}
	s.sockets <- &fakeSocket{t: s.t, conn: conn, url: r.URL}
}

// accept waits for the next WebSocket.
func (s *fakeServer) accept() *fakeSocket {
	s.t.Helper()
	select {
	case c := <-s.sockets:
		s.t.Cleanup(func() { c.conn.Close() })
		return c
	case <-time.After(10 * time.Second):
		s.t.Fatal("no WebSocket")
		return nil
	}
}

func (c *fakeSocket) send(text string) {
	c.t.Helper()
	if err := wsutil.WriteServerText(c.conn, []byte(text)); err != nil {
		c.t.Error(err)
	}
}

// frame sends one raw frame.
func (c *fakeSocket) frame(f ws.Frame) {
	c.t.Helper()
	if err := ws.WriteFrame(c.conn, f); err != nil {
		c.t.Error(err)
	}
}

// want reads the next text message and compares it.
func (c *fakeSocket) want(text string) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, err := wsutil.ReadClientText(c.conn)
	if err != nil {
		c.t.Fatalf("want %s: %v", text, err)
	}
	if string(got) != text {
		c.t.Errorf("got %s, want %s", got, text)
	}
}

// wantFrame reads the next frame, whatever it is.
func (c *fakeSocket) wantFrame(op ws.OpCode, payload []byte) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	h, err := ws.ReadHeader(c.conn)
	if err != nil {
		c.t.Fatal(err)
	}
	got := make([]byte, min(h.Length, 64<<10)) // no test's frame is longer
	if _, err := io.ReadFull(c.conn, got); err != nil {
		c.t.Fatal(err)
	}
	ws.Cipher(got, h.Mask, 0)
	if h.OpCode != op || !bytes.Equal(got, payload) {
		c.t.Errorf("got opcode %v %q, want %v %q", h.OpCode, got, op, payload)
	}
}

func (c *fakeSocket) establish() {
	c.send(`{"event":"pusher:connection_established","data":"{\"socket_id\":\"12.34\",\"activity_timeout\":117}"}`)
}

func (c *fakeSocket) close(code ws.StatusCode, reason string) {
	c.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason)))
	c.conn.Close()
}
