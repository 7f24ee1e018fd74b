package netio

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

// testLimits are the shipped defaults.
func testLimits() Limits {
	return Limits{
		HandshakeTimeout: 5 * time.Second, RequestLineBytes: 4 << 10, HeadBytes: 8 << 10, HeadCount: 64,
		MessageBytes: 16 << 10, Fragments: 64, MessageTime: 10 * time.Second, BodyBytes: 256 << 10,
		QueueBytes: 64 << 10, QueueMessages: 256,
		ActivityTimeout: 120 * time.Second, PingGrace: 15 * time.Second, PongTimeout: 30 * time.Second,
	}
}

// testServer is a running transport whose sessions echo text.
type testServer struct {
	*Server
	t        testing.TB
	addr     string
	sessions []*echoSession
}

// startServer runs a transport on a free port; edit changes its configuration,
// and fake the kernel beneath it.
// Each setup prepares the sessions before the loops run.
func startServer(t testing.TB, edit func(*Config), fake func(*kernel), setup ...func(*echoSession)) *testServer {
	t.Helper()
	cfg := Config{
		Listen: []string{"127.0.0.1:0"}, Loops: 2, Limits: testLimits(),
		Admission:   Admission{AcceptRate: 1_000_000},
		Descriptors: 20_000, InboxCommands: 1 << 16, Conversations: 256,
		Farewell: func(r frame.CloseReason) []byte {
			return frame.AppendFrame(nil, frame.OpText, fmt.Appendf(nil, "error %d", r.Code))
		},
		ServeHTTP: serveKeepAlive,
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if edit != nil {
		edit(&cfg)
	}
	k := realKernel()
	if fake != nil {
		fake(&k)
	}
	srv, err := newServer(cfg, k)
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{Server: srv, t: t}
	for i := range cfg.Loops {
		s := &echoSession{conns: srv.Conns(i), live: map[uint32]bool{}}
		ts.sessions = append(ts.sessions, s)
		for _, prepare := range setup {
			prepare(s)
		}
		srv.Attach(i, s)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	ts.addr = srv.Addrs()[0].String()
	eventually(t, "the acceptor has its reserve descriptor", func() bool { return srv.acceptors[0].armed.Load() })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx)
	})
	return ts
}

// serveKeepAlive answers every plain request with its own request line.
func serveKeepAlive(c net.Conn) error {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil
		}
		for {
			header, err := r.ReadString('\n')
			if err != nil {
				return nil
			}
			if header == "\r\n" {
				break
			}
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(line), line); err != nil {
			return nil
		}
	}
}

// echoSession greets, echoes text behind "echo " and remembers what it was told.
type echoSession struct {
	conns Conns
	live  map[uint32]bool // owned by the loop

	opened, closed, pings atomic.Int64
	mu                    sync.Mutex
	reasons               []frame.CloseReason
	onCommand             func(s *echoSession, op uint8, arg uint64, ref any)
	onMessage             func(s *echoSession, conn uint32, p []byte) error
	onTick                func(s *echoSession)
	stream                func(s *echoSession, req *frame.StreamRequest) (int, bool)
	work                  func(s *echoSession) bool
}

func text(s string) []byte { return frame.AppendFrame(nil, frame.OpText, []byte(s)) }

func (s *echoSession) Open(_ int64, up *frame.Upgrade) {
	if s.live[up.Slot] {
		panic("Open of a connection that is open")
	}
	s.live[up.Slot] = true
	s.opened.Add(1)
	s.conns.Send(up.Slot, text("hello"))
}

func (s *echoSession) Message(_ int64, conn uint32, op frame.Opcode, p []byte) error {
	if !s.live[conn] {
		panic("Message of a connection that is not open")
	}
	if s.onMessage != nil {
		return s.onMessage(s, conn, p)
	}
	if op == frame.OpBinary {
		return frame.BinaryRefused
	}
	s.conns.Send(conn, frame.AppendFrame(nil, frame.OpText, p))
	return nil
}

func (s *echoSession) Frame(int64, uint32, bool) error { return nil }

func (s *echoSession) Ping(conn uint32) {
	s.pings.Add(1)
	s.conns.Send(conn, text("ping"))
}

func (s *echoSession) OpenStream(_ int64, req *frame.StreamRequest) (int, bool) {
	if s.live[req.Slot] {
		panic("OpenStream of a connection that is open")
	}
	s.live[req.Slot] = true
	s.opened.Add(1)
	return s.stream(s, req)
}

func (s *echoSession) Drained(int64, uint32) {}
func (s *echoSession) Closed(_ int64, conn uint32, r frame.CloseReason) {
	if !s.live[conn] {
		panic("Closed of a connection that is not open")
	}
	delete(s.live, conn)
	s.closed.Add(1)
	s.mu.Lock()
	s.reasons = append(s.reasons, r)
	s.mu.Unlock()
}

func (s *echoSession) Command(_ int64, op uint8, arg uint64, ref any) {
	if s.onCommand != nil {
		s.onCommand(s, op, arg, ref)
	}
}

func (s *echoSession) Work(int64, int64) bool {
	if s.work != nil {
		return s.work(s)
	}
	return false
}

func (s *echoSession) Tick(int64) {
	if s.onTick != nil {
		s.onTick(s)
	}
}

func (ts *testServer) count(get func(*echoSession) int64) (n int64) {
	for _, s := range ts.sessions {
		n += get(s)
	}
	return n
}

func (ts *testServer) lastReason() frame.CloseReason {
	for _, s := range ts.sessions {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.reasons); n > 0 {
			return s.reasons[n-1]
		}
	}
	return frame.CloseReason{}
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // a poll, not a guess: the loop above decides
	}
}

// wsClient is a WebSocket client that a test drives frame by frame.
type wsClient struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

const upgradeHead = "GET /app/k?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

const acceptOfSample = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // RFC 6455 section 1.3

func (ts *testServer) dialTCP() net.Conn {
	ts.t.Helper()
	c, err := net.Dial("tcp", ts.addr)
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// dial upgrades and checks the 101.
func (ts *testServer) dial() *wsClient {
	ts.t.Helper()
	c := &wsClient{t: ts.t, conn: ts.dialTCP()}
	c.r = bufio.NewReader(c.conn)
	if _, err := io.WriteString(c.conn, upgradeHead); err != nil {
		ts.t.Fatal(err)
	}
	if err := readUpgrade(c.r); err != nil {
		ts.t.Fatal(err)
	}
	return c
}

func readUpgrade(r *bufio.Reader) error {
	status, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if status != "HTTP/1.1 101 Switching Protocols\r\n" {
		return fmt.Errorf("status line %q", status)
	}
	accepted := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
		accepted = accepted || line == "Sec-WebSocket-Accept: "+acceptOfSample+"\r\n"
	}
	if !accepted {
		return fmt.Errorf("no valid Sec-WebSocket-Accept")
	}
	return nil
}

// maskedFrame is a client frame (RFC 6455 section 5.3).
func maskedFrame(op frame.Opcode, fin bool, p []byte) []byte {
	b := []byte{byte(op)}
	if fin {
		b[0] |= 0x80
	}
	switch n := len(p); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	var mask [4]byte
	_, _ = rand.Read(mask[:])
	b = append(b, mask[:]...)
	for i, c := range p {
		b = append(b, c^mask[i&3])
	}
	return b
}

func (c *wsClient) send(p []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

func (c *wsClient) sendText(s string) { c.send(maskedFrame(frame.OpText, true, []byte(s))) }

func readFrame(r *bufio.Reader) (op frame.Opcode, p []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1] & 0x7f)
	switch n {
	case 126:
		var ext [2]byte
		if _, err := io.ReadFull(r, ext[:]); err != nil {
			return 0, nil, err
		}
		n = uint64(binary.BigEndian.Uint16(ext[:]))
	case 127:
		var ext [8]byte
		if _, err := io.ReadFull(r, ext[:]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(ext[:])
	}
	p = make([]byte, n)
	_, err = io.ReadFull(r, p)
	return frame.Opcode(head[0] & 0x0f), p, err
}

func (c *wsClient) wantText(want string) {
	c.t.Helper()
	op, p, err := readFrame(c.r)
	if err != nil || op != frame.OpText || string(p) != want {
		c.t.Fatalf("got opcode %d %q (%v), want text %q", op, p, err, want)
	}
}

// wantClose expects a Close frame of the code and then the end of the stream.
func (c *wsClient) wantClose(code uint16) {
	c.t.Helper()
	for {
		op, p, err := readFrame(c.r)
		if err != nil {
			c.t.Fatalf("no Close frame: %v", err)
		}
		if op != frame.OpClose {
			continue
		}
		if len(p) < 2 || binary.BigEndian.Uint16(p) != code {
			c.t.Fatalf("Close frame %q, want code %d", p, code)
		}
		break
	}
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Fatalf("after the Close frame: %d bytes, %v; want a clean end", len(rest), err)
	}
}

// descriptors counts this process's open descriptors.
func descriptors(t testing.TB) int {
	t.Helper()
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(dir)
}

// pattern is n bytes that tell their own place, valid in text.
func pattern(seed, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = 'a' + byte((seed*31+i*7)%26)
	}
	return p
}
