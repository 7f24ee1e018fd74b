package netio

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

func TestUpgradeGreetingEchoAndClose(t *testing.T) {
	srv := startServer(t, nil, nil)
	c := srv.dial()
	c.wantText("hello")
	c.sendText("one")
	c.wantText("one")

	t.Log("a ping between two fragments is answered at once")
	c.send(maskedFrame(frame.OpText, false, []byte("tw")))
	c.send(maskedFrame(frame.OpPing, true, []byte("p")))
	if op, p, err := readFrame(c.r); err != nil || op != frame.OpPong || string(p) != "p" {
		t.Fatalf("got %d %q %v, want the pong", op, p, err)
	}
	c.send(maskedFrame(frame.OpContinuation, true, []byte("o")))
	c.wantText("two")

	t.Log("a client's close is answered with its own code")
	c.send(maskedFrame(frame.OpClose, true, []byte{0x0f, 0xa1, 'b', 'y', 'e'})) // 4001
	c.wantClose(4001)
	eventually(t, "the session hears of the close once", func() bool {
		return srv.count(func(s *echoSession) int64 { return s.closed.Load() }) == 1
	})
	if r := srv.lastReason(); r.Code != 4001 || r.Label != frame.PeerClosed.Label {
		t.Fatalf("reason = %+v", r)
	}
}

func TestFramesBehindTheHeadAreNotLost(t *testing.T) {
	srv := startServer(t, nil, nil)
	raw := srv.dialTCP()
	// A client that does not wait for the 101, which the fast door must bear.
	_, _ = io.WriteString(raw, upgradeHead+string(maskedFrame(frame.OpText, true, []byte("early"))))
	c := &wsClient{t: t, conn: raw, r: bufio.NewReader(raw)}
	if err := readUpgrade(c.r); err != nil {
		t.Fatal(err)
	}
	c.wantText("hello")
	c.wantText("early")
}

func TestAHeadMayComeByteByByte(t *testing.T) {
	srv := startServer(t, nil, nil)
	raw := srv.dialTCP()
	for i := range upgradeHead {
		if _, err := raw.Write([]byte{upgradeHead[i]}); err != nil {
			t.Fatal(err)
		}
	}
	c := &wsClient{t: t, conn: raw, r: bufio.NewReader(raw)}
	if err := readUpgrade(c.r); err != nil {
		t.Fatal(err)
	}
	for _, b := range maskedFrame(frame.OpText, true, pattern(1, 200)) {
		c.send([]byte{b})
	}
	c.wantText("hello")
	c.wantText(string(pattern(1, 200)))
}

func TestBrokenHandshakesAreAnsweredAndClosed(t *testing.T) {
	srv := startServer(t, nil, nil)
	cases := []struct{ name, head, status string }{
		{"not HTTP", "\x16\x03\x01 garbage\r\n\r\n", "400"},
		{"wrong WebSocket version", strings.Replace(upgradeHead, "Version: 13", "Version: 8", 1), "426"},
		{"no key", strings.Replace(upgradeHead, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1), "400"},
		{"head too large", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 9000) + "\r\n\r\n", "431"},
		{"request line too large", "GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nHost: x\r\n\r\n", "431"},
		{"endless head", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 20000), "431"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			raw := srv.dialTCP()
			if _, err := io.WriteString(raw, tc.head); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(raw)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+tc.status+" ") {
				t.Fatalf("answer %.80q, %v; want status %s and a clean end", answer, err, tc.status)
			}
		})
	}
}

func TestHandshakeDeadline(t *testing.T) {
	t.Parallel() // it waits for the clock
	srv := startServer(t, func(c *Config) { c.Limits.HandshakeTimeout = time.Second }, nil)
	raw := srv.dialTCP()
	_, _ = io.WriteString(raw, "GET /app/k HTTP/1.1\r\n")
	if n, err := raw.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read %d bytes, %v; want a TCP close without a word", n, err)
	}
	if n := srv.sum(func(l *loopStats) uint64 { return l.handshakes[handshakeTimeout].Load() }); n != 1 {
		t.Fatalf("%d handshake timeouts counted", n)
	}
}

func TestPlainHTTPGoesThroughTheSlowDoor(t *testing.T) {
	srv := startServer(t, nil, nil)
	raw := srv.dialTCP()
	r := bufio.NewReader(raw)
	for range 3 {
		_, _ = io.WriteString(raw, "GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
		status, err := r.ReadString('\n')
		if err != nil || status != "HTTP/1.1 200 OK\r\n" {
			t.Fatalf("status %q, %v", status, err)
		}
		for line := ""; line != "\r\n"; {
			if line, err = r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if body, err := r.ReadString('\n'); err != nil || body != "GET /up HTTP/1.1\r\n" {
			t.Fatalf("body %q, %v", body, err)
		}
	}

	t.Log("and a WebSocket upgrade as a later request of the same conversation comes back to a loop")
	_, _ = io.WriteString(raw, upgradeHead)
	c := &wsClient{t: t, conn: raw, r: r}
	if err := readUpgrade(r); err != nil {
		t.Fatal(err)
	}
	c.wantText("hello")
	c.sendText("back")
	c.wantText("back")
}

func TestSilentConnectionsArePingedAndClosed(t *testing.T) {
	t.Parallel() // it waits for the clock
	srv := startServer(t, func(c *Config) {
		c.Limits.ActivityTimeout, c.Limits.PingGrace, c.Limits.PongTimeout = time.Second, time.Second, 2*time.Second
	}, func(k *kernel) {
		k.progress = func(int) (uint32, bool, syscall.Errno) { return 0, false, syscall.ENOTSUP }
	})
	quiet, lively := srv.dial(), srv.dial()
	quiet.wantText("hello")
	lively.wantText("hello")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for { // answers whatever comes: any inbound byte is life
			_, p, err := readFrame(lively.r)
			if err != nil {
				return
			}
			if string(p) == "ping" {
				_, _ = lively.conn.Write(maskedFrame(frame.OpPong, true, nil))
			}
		}
	}()
	quiet.wantText("ping")
	quiet.wantText("error 4201")
	quiet.wantClose(4201)
	if n := srv.sum(func(l *loopStats) uint64 { return l.noPong.Load() }); n != 1 {
		t.Fatalf("%d connections closed for silence, want only the quiet one", n)
	}
	_ = lively.conn.Close()
	<-done
}

func TestAnAcknowledgingPeerIsNotPinged(t *testing.T) {
	t.Parallel() // it waits for the clock
	var acked atomic.Uint32
	srv := startServer(t, func(c *Config) {
		c.Limits.ActivityTimeout, c.Limits.PingGrace = time.Second, time.Second
	}, func(k *kernel) {
		k.progress = func(int) (uint32, bool, syscall.Errno) { return acked.Add(100), true, 0 }
	})
	c := srv.dial()
	c.wantText("hello")
	// The first silent period has no earlier mark to compare with and pings once;
	// its answer starts the period that the kernel then vouches for.
	c.wantText("ping")
	c.send(maskedFrame(frame.OpPong, true, nil))
	_ = c.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, p, err := readFrame(c.r); err == nil {
		t.Fatalf("an acknowledging peer was sent %q", p)
	}
}

func TestASlowReaderIsClosedAndOthersAreNot(t *testing.T) {
	var members []uint32
	batch := frame.NewBatch([]*frame.Prepared{frame.Prepare(frame.OpText, pattern(3, 8<<10))}, false)
	broadcast := func(s *echoSession, op uint8, _ uint64, _ any) {
		if members == nil {
			for slot := range s.live {
				members = append(members, slot)
			}
		}
		for _, slot := range members {
			if s.live[slot] {
				if !s.conns.Deliver(slot, batch) {
					s.conns.Push(slot, batch)
				}
			}
		}
	}
	srv := startServer(t, func(c *Config) { c.Loops = 1 }, nil, func(s *echoSession) { s.onCommand = broadcast })
	slow, fast := srv.dial(), srv.dial()
	slow.wantText("hello")
	fast.wantText("hello")
	var got atomic.Int64
	go func() {
		for {
			if _, _, err := readFrame(fast.r); err != nil {
				return
			}
			got.Add(1)
		}
	}()
	sent := int64(0)
	eventually(t, "the stuck reader is closed", func() bool {
		for range 20 {
			srv.MustPost(0, 1, 0, nil)
			sent++
		}
		eventually(t, "the reader keeps up", func() bool { return got.Load() == sent })
		return srv.lastReason().Code == 4100
	})
	if n := srv.count(func(s *echoSession) int64 { return s.closed.Load() }); n != 1 {
		t.Fatalf("%d connections closed, want the slow one alone", n)
	}
	eventually(t, "its queue is given back", func() bool {
		return srv.total(func(l *loopStats) int64 { return l.queuedNow.Load() }) == 0
	})
}

func TestAPausedConnectionLosesNothing(t *testing.T) {
	t.Parallel() // it waits for the clock
	paused := map[uint32]bool{}
	onMessage := func(s *echoSession, conn uint32, p []byte) error {
		s.conns.Send(conn, text(string(p)))
		if strings.HasPrefix(string(p), "pause") {
			paused[conn] = true
			return frame.ErrPause
		}
		return nil
	}
	onTick := func(s *echoSession) {
		for conn := range paused {
			delete(paused, conn)
			s.conns.Resume(conn)
		}
	}
	srv := startServer(t, func(c *Config) { c.Loops = 1 }, nil, func(s *echoSession) { s.onMessage, s.onTick = onMessage, onTick })
	c := srv.dial()
	var all []byte
	want := []string{"hello"}
	for _, s := range []string{"a", "pause1", "b", "pause2", "pause3", "c"} {
		all = append(all, maskedFrame(frame.OpText, true, []byte(s))...)
		want = append(want, s)
	}
	c.send(all)
	c.sendText("late")
	for _, s := range append(want, "late") {
		c.wantText(s)
	}
}

func TestMessageTime(t *testing.T) {
	t.Parallel() // it waits for the clock
	srv := startServer(t, func(c *Config) { c.Limits.MessageTime = time.Second }, nil)
	c := srv.dial()
	c.send(maskedFrame(frame.OpText, false, []byte("never ends")))
	c.wantClose(1008)
}

func TestEveryResetIsSurvived(t *testing.T) {
	srv := startServer(t, nil, nil)
	before := descriptors(t)
	var clients sync.WaitGroup
	for i := range 200 {
		clients.Go(func() {
			c := srv.dial()
			if i%2 == 0 {
				_ = c.conn.(*net.TCPConn).SetLinger(0)
			}
			_ = c.conn.Close()
		})
	}
	clients.Wait()
	eventually(t, "all sockets are released", func() bool { return srv.admission.live.Load() == 0 })
	if after := descriptors(t); after > before {
		t.Fatalf("%d descriptors before, %d after", before, after)
	}
	opened := srv.count(func(s *echoSession) int64 { return s.opened.Load() })
	if closed := srv.count(func(s *echoSession) int64 { return s.closed.Load() }); opened != closed {
		t.Fatalf("%d opened, %d closed", opened, closed)
	}
}

func TestShutdownDeliversTheCloseCode(t *testing.T) {
	t.Parallel() // it waits for the clock
	srv := startServer(t, nil, nil, func(s *echoSession) {
		s.onCommand = func(s *echoSession, _ uint8, _ uint64, _ any) {
			for conn := range s.live {
				s.conns.Close(conn, frame.Drain)
			}
		}
	})
	clients := make([]*wsClient, 20)
	for i := range clients {
		clients[i] = srv.dial()
		clients[i].sendText("unread by nobody")
	}
	srv.StopAccepting()
	for i := range srv.Count() {
		srv.MustPost(i, 1, 0, nil)
	}
	for _, c := range clients {
		c.wantClose(4200)
	}
	eventually(t, "the table is empty", func() bool { return srv.admission.live.Load() == 0 })
	if _, err := net.Dial("tcp", srv.addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("the port still answers: %v", err)
	}
}

// TestACloseBehindAQueueIsDelivered: a peer that reads slowly gets everything that
// was queued before the Close frame, however long that takes within lingerMost; one
// that reads nothing is given up after lingerTicks.
func TestACloseBehindAQueueIsDelivered(t *testing.T) {
	t.Parallel() // it waits for the clock
	const size, paces = 4 << 20, 20
	srv := startServer(t, func(c *Config) { c.EchoPath = "/app/k" }, nil)
	dial := func() *wsClient {
		dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10)
			})
		}}
		conn, err := dialer.Dial("tcp", srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
		c := &wsClient{t: t, conn: conn, r: bufio.NewReaderSize(conn, 512)}
		c.send([]byte(upgradeHead))
		if err := readUpgrade(c.r); err != nil {
			t.Fatal(err)
		}
		c.send(append(maskedFrame(frame.OpBinary, true, pattern(1, size)), maskedFrame(frame.OpClose, true, []byte{0x03, 0xe8})...))
		return c
	}
	slow, stuck := dial(), dial()
	queued := func() int64 { return srv.total(func(l *loopStats) int64 { return l.queuedNow.Load() }) }
	eventually(t, "both are closing behind a queue", func() bool {
		return queued() > size && srv.total(func(l *loopStats) int64 { return l.state(stateClosing).Load() }) == 2
	})
	began := time.Now()
	got := make([]byte, 10+size) // header and payload
	for i := range paces {
		if _, err := io.ReadFull(slow.r, got[len(got)*i/paces:len(got)*(i+1)/paces]); err != nil {
			t.Fatalf("after %s and %d of %d paces: %v", time.Since(began), i, paces, err)
		}
		time.Sleep(6 * time.Second / paces) // the reader's own pace, three times lingerTicks in all
	}
	if !bytes.Equal(got[10:], pattern(1, size)) {
		t.Error("the echo is not what was sent")
	}
	slow.wantClose(1000)
	eventually(t, "the stuck reader is given up", func() bool { return queued() == 0 })
	if n, err := io.Copy(io.Discard, stuck.r); n >= size {
		t.Errorf("the stuck reader got %d bytes, %v", n, err)
	}
}

func TestAStopOfTheProcessStartsEveryPeriodAnew(t *testing.T) {
	t.Parallel() // it waits for the clock
	resumed := make(chan time.Time, 1)
	srv := startServer(t, func(c *Config) {
		c.Loops = 1
		c.Limits.ActivityTimeout, c.Limits.PingGrace = 2*time.Second, time.Second
	}, func(k *kernel) {
		k.progress = func(int) (uint32, bool, syscall.Errno) { return 0, false, syscall.ENOTSUP }
	}, func(s *echoSession) {
		s.onCommand = func(*echoSession, uint8, uint64, any) {
			time.Sleep(pauseJump + time.Second) // holds the loop as SIGSTOP would
			resumed <- time.Now()
		}
	})
	c := srv.dial()
	c.wantText("hello")
	srv.MustPost(0, 1, 0, nil)
	at := <-resumed
	c.wantText("ping")
	// Measured from the last byte the ping would have been due during the stop.
	if after := time.Since(at); after < 2*time.Second {
		t.Fatalf("pinged %v after the stop, want a full period of 3 s", after)
	}
}

// A loop with much to do keeps neither its thread nor its processor of Go's scheduler
// for longer than a turn.
func TestBusyLoopGivesWay(t *testing.T) {
	const busy = 50 * time.Millisecond
	var yields atomic.Int64
	var began time.Time // owned by the loop
	done := make(chan int64, 1)
	ts := startServer(t, func(c *Config) { c.Loops = 1 },
		func(k *kernel) { k.yield = func() { yields.Add(1) } },
		func(s *echoSession) {
			s.onCommand = func(*echoSession, uint8, uint64, any) { began = time.Now() }
			s.work = func(*echoSession) bool {
				switch {
				case began.IsZero():
					return false
				case time.Since(began) < busy:
					return true
				}
				began = time.Time{}
				done <- yields.Load()
				return false
			}
		})
	if !ts.Post(0, 1, 0, nil) {
		t.Fatal("the command was refused")
	}
	if n := <-done; n < 10 {
		t.Fatalf("a loop that worked for %v gave way %d times", busy, n)
	}
}
