package netio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

const doorUpgradeHead = "GET /app/key HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

func TestDoorKeepsConversationAlive(t *testing.T) {
	h := newDoorHarness(t, nil)
	c := h.dial()
	c.get("/one")
	c.get("/two")
	c.send("POST /three HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
	c.want(200, "POST /three hello tcp")
	h.wantConversations(1)
	h.wantPhase(doorIdle, 1)
	_ = c.Close()
	h.wantConversations(0)

	// A queue that stays readable would make netpoll ask for sockets without end.
	event := []unix.PollFd{{Fd: int32(h.listener.event), Events: unix.POLLIN}}
	if n, err := unix.Poll(event, 0); n != 0 || err != nil {
		t.Errorf("the empty queue is readable: %d, %v", n, err)
	}
}

func TestDoorAnswersPipelinedRequestsInOrder(t *testing.T) {
	h := newDoorHarness(t, nil)
	c := h.dial()
	const n = 200
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n%04d", i, i)
	}
	c.send(all.String())
	for i := range n {
		c.want(200, fmt.Sprintf("POST /%d %04d tcp", i, i))
	}
	c.get("/after")
}

// TestDoorReadsByteByByte sends what no buffering client sends: every boundary
// falls between two reads, and between two requests too.
func TestDoorReadsByteByByte(t *testing.T) {
	h := newDoorHarness(t, nil)
	c := h.dial()
	_ = c.SetNoDelay(true)
	for range 2 {
		for _, b := range []byte("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc") {
			c.send(string(b))
			runtime.Gosched()
		}
		c.want(200, "POST /slow abc tcp")
	}
}

// TestDoorRefuses sends each request second in its conversation, so that the loop
// has not seen it, and checks that not a byte of it comes to the handler.
func TestDoorRefuses(t *testing.T) {
	long := strings.Repeat("x", 13<<10)
	tests := []struct {
		name, request string
		status        int
		code          string
	}{
		{"length and chunked", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"},
		{"chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, "length_required"},
		{"obscured chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "bad_request"},
		{"space before the colon", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", 400, "bad_request"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "bad_request"},
		{"signed length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400, "bad_request"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "bad_request"},
		{"bare line feed", "GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400, "bad_request"},
		{"folded field", "GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n", 400, "bad_request"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400, "bad_request"},
		{"not HTTP", "\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad_request"},
		{"line too long", "GET /" + long[:5<<10] + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, "head_too_large"},
		{"head too long", "GET / HTTP/1.1\r\nHost: x\r\nX: " + long + "\r\n\r\n", 431, "head_too_large"},
		{"head without end", "GET / HTTP/1.1\r\nHost: x\r\nX: " + long, 431, "head_too_large"},
		{"too many fields", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 64) + "\r\n", 431, "head_too_large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var handled atomic.Int64
			h := newDoorHarness(t, func(cfg *doorConfig) {
				cfg.Serve = doorFastHTTP(func(ctx *fasthttp.RequestCtx) {
					handled.Add(1)
					doorAnswer(ctx)
				})
			})
			c := h.dial()
			c.get("/first")
			// The smuggled request must not be answered either.
			c.send(tt.request + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
			c.want(tt.status, `"code":"`+tt.code+`"`)
			c.wantEnd()
			_ = c.Close()
			h.wantConversations(0)
			if n := handled.Load(); n != 1 {
				t.Errorf("%d requests came to the handler, want the first alone", n)
			}
		})
	}
}

// TestDoorLetsTheAnswerThrough: a client that is still sending when it is refused
// reads the refusal, since its bytes are discarded rather than answered by RST.
func TestDoorLetsTheAnswerThrough(t *testing.T) {
	h := newDoorHarness(t, nil)
	c := h.dial()
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
	for range 100 {
		c.send(strings.Repeat("b", 100_000))
	}
	c.want(413, "")
	c.wantEnd()
	h.wantPhase(doorLinger, 1)
	h.advance(2 * doorLingerTime)
	h.wantConversations(0)
}

func TestDoorAnswersExpect(t *testing.T) {
	const head = "POST /e HTTP/1.1\r\nHost: x\r\nexpect: 100-Continue\r\nContent-Length: 5\r\nX: y\r\n\r\n"
	t.Run("the body waits", func(t *testing.T) {
		h := newDoorHarness(t, nil)
		c := h.dial()
		c.send(head)
		got := make([]byte, len(doorContinue))
		if _, err := io.ReadFull(c.r, got); err != nil || string(got) != doorContinue {
			t.Fatalf("got %q, %v", got, err)
		}
		c.send("hello")
		if line, err := c.r.Peek(12); err != nil || string(line) != "HTTP/1.1 200" {
			t.Fatalf("the answer begins with %q, %v; a second 100 is one too many", line, err)
		}
		c.want(200, "POST /e hello tcp")
		c.get("/again")
	})
	t.Run("the body came along", func(t *testing.T) {
		h := newDoorHarness(t, nil)
		c := h.dial()
		c.send(head + "hello")
		if line, err := c.r.Peek(12); err != nil || string(line) != "HTTP/1.1 200" {
			t.Fatalf("the answer begins with %q, %v", line, err)
		}
		c.want(200, "POST /e hello tcp")
	})
	t.Run("the body is too long", func(t *testing.T) {
		h := newDoorHarness(t, nil)
		c := h.dial()
		c.send(strings.Replace(head, "Length: 5", "Length: 500000", 1))
		c.want(413, "")
		c.wantEnd()
	})
}

// TestDoorAnswersHalfClosedPeers: a FIN ends what the client sends, not what it
// reads.
func TestDoorAnswersHalfClosedPeers(t *testing.T) {
	h := newDoorHarness(t, nil)
	for i := range 200 {
		c := h.dial()
		c.send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i))
		_ = c.CloseWrite()
		c.want(200, fmt.Sprintf("GET /%d ", i))
		c.wantEnd()
	}
	h.wantConversations(0)
}

// TestDoorServesUnixSockets: a socket without addresses is served like any other,
// and a client that does not read is given up there, too.
func TestDoorServesUnixSockets(t *testing.T) {
	h := newDoorHarness(t, func(cfg *doorConfig) {
		cfg.Now, cfg.WriteTimeout = newClock().now, 50*time.Millisecond
		cfg.Serve = doorFastHTTP(func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/large" {
				ctx.SetBody(make([]byte, 8<<20))
				return
			}
			doorAnswer(ctx)
		})
	})
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	client := os.NewFile(uintptr(ends[1]), "client")
	defer client.Close()
	if err := h.enter(ends[0], nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(client, "GET /u HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var resp fasthttp.Response
	if err := resp.Read(bufio.NewReader(client)); err != nil || string(resp.Body()) != "GET /u  unix" {
		t.Fatalf("got %q, %v", resp.Body(), err)
	}
	if _, err := io.WriteString(client, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	h.wantConversations(0)
}

// TestDoorBearsResetsAtAnyMoment: whatever a conversation does when its peer
// vanishes, nothing of it is left, without any help of a deadline.
func TestDoorBearsResetsAtAnyMoment(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
	doorWarmUp(t)
	before, goroutines := doorDescriptors(t), runtime.NumGoroutine()
	t.Run("clients", func(t *testing.T) {
		h := newDoorHarness(t, func(cfg *doorConfig) {
			cfg.Conversations = 2
			cfg.Serve = doorFastHTTP(func(ctx *fasthttp.RequestCtx) { ctx.SetBody(make([]byte, len(ctx.Path())<<10)) })
		})
		for i := range 2000 {
			c := h.dial()
			switch i % 8 {
			case 0:
			case 1:
				c.send("GE")
			case 2:
				c.send(post + "ab")
			case 3:
				c.send(post + "abcde")
			case 4:
				c.send("GET /" + strings.Repeat("x", 4000) + " HTTP/1.1\r\nHost: x\r\n\r\n") // 4 MB, unread
			case 5:
				c.send(post + "abcde" + post + "abcde" + "no request\r\n\r\n")
			case 6:
				c.send("GET / HTTP/1.0\r\n\r\n")
			case 7:
				c.send(post + "abcde")
				_, _ = c.r.ReadByte()
			}
			if i%16 < 8 {
				runtime.Gosched()
			} else {
				time.Sleep(time.Duration(i%50) * 10 * time.Microsecond) // anywhere in the course of the server's work
			}
			c.reset()
		}
		h.wantConversations(0)
	})
	if after := doorDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines before, %d after", goroutines, runtime.NumGoroutine())
		}
	}
}

func TestDoorClosesWhenAsked(t *testing.T) {
	h := newDoorHarness(t, nil)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /unwanted HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		c := h.dial()
		c.send(request)
		c.want(200, "GET /  tcp")
		c.wantEnd()
	}
}

// TestDoorBoundsWork holds every place and checks that no other request is
// served, that none is refused, and that they are served in order.
func TestDoorBoundsWork(t *testing.T) {
	const places, clients = 4, 40
	var running, most atomic.Int64
	var mu sync.Mutex
	var order []string
	gate := make(chan struct{})
	h := newDoorHarness(t, func(cfg *doorConfig) {
		cfg.Conversations = places
		cfg.Serve = doorFastHTTP(func(ctx *fasthttp.RequestCtx) {
			n := running.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			mu.Lock()
			order = append(order, string(ctx.Path()))
			mu.Unlock()
			<-gate
			running.Add(-1)
			doorAnswer(ctx)
		})
	})
	served := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), order...)
	}
	queued := func() int {
		h.pool.mu.Lock()
		defer h.pool.mu.Unlock()
		return len(h.pool.waiting)
	}
	var all []*doorClient
	for i := range clients {
		c := h.dial()
		c.send(fmt.Sprintf("GET /%02d HTTP/1.1\r\nHost: x\r\n\r\n", i))
		all = append(all, c)
		h.wait("the request is running or queued", func() bool {
			return int(running.Load())+queued() == i+1
		})
	}
	// Slow and idle clients take no place.
	h.dial().send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
	h.advance(time.Hour)
	if got := h.conversations(); got != clients+1 && got != clients {
		t.Errorf("%d conversations; those that wait for a place must not time out", got)
	}
	for i := range clients - places {
		gate <- struct{}{}
		h.wait("the next request is served", func() bool { return len(served()) == places+i+1 })
	}
	close(gate)
	for i, c := range all {
		c.want(200, fmt.Sprintf("GET /%02d  tcp", i))
	}
	if most.Load() != places {
		t.Errorf("%d requests at a time, want %d", most.Load(), places)
	}
	for i, path := range served()[places:] {
		if want := fmt.Sprintf("/%02d", places+i); path != want {
			t.Errorf("%s was served in the place of %s", path, want)
		}
	}
}

// TestDoorResetsFloods: what a client sends ahead of its answers is bounded,
// although netpoll reads without bound.
func TestDoorResetsFloods(t *testing.T) {
	gate := make(chan struct{})
	h := newDoorHarness(t, func(cfg *doorConfig) {
		cfg.Serve = func(c net.Conn) error {
			<-gate
			return errors.New("over")
		}
	})
	c := h.dial()
	sent, chunk := 0, bytes.Repeat([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 10_000)
	for sent < 100*doorBacklog {
		n, err := c.Write(chunk)
		sent += n
		if err != nil {
			break
		}
	}
	t.Logf("reset after %d MiB", sent>>20)
	if sent >= 100*doorBacklog {
		t.Error("the flood was not stopped")
	}
	close(gate)
	h.wantConversations(0)
}

func TestDoorSurvivesPanics(t *testing.T) {
	h := newDoorHarness(t, func(cfg *doorConfig) {
		cfg.Conversations = 1
		cfg.Serve = doorFastHTTP(func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/bad" {
				panic("out of order")
			}
			doorAnswer(ctx)
		})
	})
	for range 3 { // more than there are places
		c := h.dial()
		c.get("/good")
		c.send("GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
		c.wantEnd()
	}
	h.wantConversations(0)
	if n := h.panics.Load(); n != 3 {
		t.Errorf("%d panics were counted", n)
	}
	if !strings.Contains(h.logs.String(), "out of order") {
		t.Errorf("the log does not tell: %s", h.logs.String())
	}
}

func TestDoorShutdown(t *testing.T) {
	t.Run("idle at once, busy after the answer", func(t *testing.T) {
		gate := make(chan struct{})
		var busy atomic.Int64
		h := newDoorHarness(t, func(cfg *doorConfig) {
			cfg.Serve = doorFastHTTP(func(ctx *fasthttp.RequestCtx) {
				if string(ctx.Path()) == "/busy" {
					busy.Add(1)
					<-gate
				}
				doorAnswer(ctx)
			})
		})
		former := h.dial() // a door that was empty before must not take that for the end
		former.get("/")
		_ = former.Close()
		h.wantConversations(0)
		idle, working, late := h.dial(), h.dial(), h.dial()
		idle.get("/")
		working.send("GET /busy HTTP/1.1\r\nHost: x\r\n\r\nGET /unwanted HTTP/1.1\r\nHost: x\r\n\r\n")
		late.get("/")
		late.send("POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nh")
		h.wantPhase(doorBody, 1)
		h.wait("the handler runs", func() bool { return busy.Load() == 1 })
		done := make(chan struct{})
		go func() {
			h.shutdown(time.Now().Add(10 * time.Second))
			close(done)
		}()
		idle.wantEnd()
		late.send("i")
		late.want(200, "POST /late hi tcp")
		late.wantEnd()
		select {
		case <-done:
			t.Fatal("shutdown did not wait")
		default:
		}
		close(gate)
		working.want(200, "GET /busy  tcp")
		working.wantEnd()
		_ = working.Close() // it is lingered for: its second request was not read
		<-done
		refused := h.dial()
		refused.wantEnd()
	})
	t.Run("the deadline cuts", func(t *testing.T) {
		gate := make(chan struct{})
		var busy atomic.Int64
		h := newDoorHarness(t, func(cfg *doorConfig) {
			cfg.Serve = func(c net.Conn) error {
				busy.Add(1)
				<-gate
				return nil
			}
		})
		stuck, slow := h.dial(), h.dial()
		slow.send("GET")
		h.wantRead()
		stuck.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		h.wait("the handler runs", func() bool { return busy.Load() == 1 })
		h.shutdown(time.Now().Add(50 * time.Millisecond))
		stuck.wantEnd()
		slow.wantEnd()
		close(gate)
		h.wantConversations(0)
	})
	t.Run("before anything began", func(t *testing.T) {
		for range 50 {
			before := doorDescriptors(t)
			h := newDoorHarness(t, nil)
			h.shutdown(time.Now().Add(time.Second))
			if err := h.enter(before+100, nil, nil); !errors.Is(err, errDoorClosed) {
				t.Fatalf("enter returned %v", err)
			}
		}
	})
}

// TestDoorErrors pins the translation of netpoll's errors.
func TestDoorErrors(t *testing.T) {
	for from, want := range map[error]error{
		netpoll.Exception(netpoll.ErrReadTimeout, "x"):  os.ErrDeadlineExceeded,
		netpoll.Exception(netpoll.ErrWriteTimeout, "x"): os.ErrDeadlineExceeded,
		netpoll.Exception(netpoll.ErrEOF, "x"):          io.EOF,
		netpoll.Exception(netpoll.ErrConnClosed, "x"):   io.EOF,
		io.ErrShortWrite: io.ErrShortWrite,
	} {
		if got := doorError(from); got != want {
			t.Errorf("%v becomes %v, want %v", from, got, want)
		}
	}
	if doorError(nil) != nil {
		t.Error("no error becomes one")
	}
}
