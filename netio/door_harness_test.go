package netio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/frame"
)

// doorHarness is a door behind a listening socket, with a clock that stands still
// until a test moves it.
type doorHarness struct {
	*door
	t    testing.TB
	addr string
	now  atomic.Int64
	logs doorLog

	limits atomic.Pointer[doorLimits]

	mu       sync.Mutex
	upgrades []doorUpgrade
}

type doorUpgrade struct {
	fd   int
	head string
}

// doorLog collects log records as text.
type doorLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *doorLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *doorLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// doorAnswer is the handler of most tests: method, path and body come back.
func doorAnswer(ctx *fasthttp.RequestCtx) {
	fmt.Fprintf(ctx, "%s %s %s %s", ctx.Method(), ctx.Path(), ctx.PostBody(), ctx.RemoteAddr().Network())
}

func doorFastHTTP(handler fasthttp.RequestHandler) func(net.Conn) error {
	s := &fasthttp.Server{
		Handler: handler, MaxRequestBodySize: 64 << 10, ReadBufferSize: 16 << 10, NoDefaultServerHeader: true,
		ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second,
		ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) {
			ctx.Error(err.Error(), 400)
			if errors.Is(err, fasthttp.ErrBodyTooLarge) {
				ctx.SetStatusCode(413)
			}
		},
		Logger: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	return s.ServeConn
}

// newDoorHarness opens a door; edit changes its configuration. At the end of the
// test nothing may be left in it, and every place must be free.
func newDoorHarness(t testing.TB, edit func(*doorConfig)) *doorHarness {
	t.Helper()
	h := &doorHarness{t: t}
	h.limits.Store(&doorLimits{
		HeadTimeout: 5 * time.Second, Head: frame.HeadLimits{LineBytes: 4 << 10, HeadBytes: 8 << 10, Count: 64}, Body: 64 << 10,
	})
	cfg := doorConfig{
		Serve: doorFastHTTP(doorAnswer), Conversations: 64,
		BodyTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second, WriteTimeout: 10 * time.Second,
		Limits: func() doorLimits { return *h.limits.Load() },
		Upgrade: func(fd int, head []byte, _, _ net.Addr) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.upgrades = append(h.upgrades, doorUpgrade{fd, string(head)})
		},
		Log: slog.New(slog.NewTextHandler(&h.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: h.now.Load,
	}
	if edit != nil {
		edit(&cfg)
	}
	d, err := newDoor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.door = d
	h.listen()
	t.Cleanup(func() {
		d.shutdown(time.Now().Add(5 * time.Second))
		if n := d.conversations(); n != 0 {
			t.Errorf("%d conversations are left after shutdown", n)
		}
		h.wait("every place is free again", func() bool {
			h.pool.mu.Lock()
			defer h.pool.mu.Unlock()
			return h.pool.free == h.cfg.Conversations && len(h.pool.waiting) == 0
		})
		if n := h.tasks(); n != 0 {
			t.Errorf("%d conversations are busy after shutdown", n)
		}
		for phase := doorReading; phase <= doorReleased; phase++ {
			if n := h.phases(phase); n != 0 {
				t.Errorf("%d conversations wait in phase %d after shutdown", n, phase)
			}
		}
	})
	return h
}

// listen accepts the way the real acceptor does: raw, non-blocking descriptors.
func (h *doorHarness) listen() {
	h.t.Helper()
	ln, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		h.t.Fatal(err)
	}
	if err := unix.Listen(ln, 4096); err != nil {
		h.t.Fatal(err)
	}
	name, err := unix.Getsockname(ln)
	if err != nil {
		h.t.Fatal(err)
	}
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}
	h.addr = local.String()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			fd, from, err := unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == unix.EINVAL { // shut down
				return
			}
			if err != nil {
				continue
			}
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			peer := from.(*unix.SockaddrInet4)
			_ = h.enter(fd, local, &net.TCPAddr{IP: append(net.IP(nil), peer.Addr[:]...), Port: peer.Port})
		}
	}()
	h.t.Cleanup(func() {
		_ = unix.Shutdown(ln, unix.SHUT_RDWR)
		<-stopped
		_ = unix.Close(ln)
	})
}

// advance moves the clock and lets the deadlines that it passes take effect.
func (h *doorHarness) advance(by time.Duration) { h.tick(h.now.Add(int64(by))) }

func (h *doorHarness) dial() *doorClient {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &doorClient{t: h.t, TCPConn: conn.(*net.TCPConn), r: bufio.NewReader(conn)}
}

// wait polls for something that another goroutine brings about.
func (h *doorHarness) wait(what string, done func() bool) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("%s: it did not come to that", what)
		}
	}
}

func (h *doorHarness) wantConversations(n int) {
	h.t.Helper()
	h.wait(fmt.Sprintf("%d conversations", n), func() bool { return h.conversations() == n })
}

// tasks counts the conversations whose task runs or is queued.
func (h *doorHarness) tasks() int {
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	return h.busy.n
}

// phases counts the conversations that wait in a phase.
func (h *doorHarness) phases(phase doorPhase) (n int) {
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	for i := range h.waits.slots {
		for c := h.waits.slots[i].first; c != nil; c = c.next {
			if c.phase == phase {
				n++
			}
		}
	}
	return n
}

func (h *doorHarness) wantPhase(phase doorPhase, n int) {
	h.t.Helper()
	h.wait(fmt.Sprintf("%d conversations in phase %d", n, phase), func() bool { return h.phases(phase) == n })
}

// wantRead waits until every byte that came was taken, and no task is under way.
func (h *doorHarness) wantRead() {
	h.t.Helper()
	h.wait("all bytes are read", func() bool {
		h.door.mu.Lock()
		defer h.door.mu.Unlock()
		for i := range h.waits.slots {
			for c := h.waits.slots[i].first; c != nil; c = c.next {
				if n, err := unix.IoctlGetInt(c.fd, unix.SIOCINQ); err != nil || n > 0 || c.conn.Reader().Len() > 0 {
					return false
				}
			}
		}
		return h.busy.n == 0
	})
}

func (h *doorHarness) upgraded() []doorUpgrade {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]doorUpgrade(nil), h.upgrades...)
}

// doorClient is the other end of one connection.
type doorClient struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader
}

func (c *doorClient) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.TCPConn, text); err != nil {
		c.t.Fatal(err)
	}
}

// get sends a request and checks its answer.
func (c *doorClient) get(path string) {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
	c.want(200, "GET "+path+"  tcp")
}

// want reads one answer.
func (c *doorClient) want(status int, body string) {
	c.t.Helper()
	var resp fasthttp.Response
	if err := resp.Read(c.r); err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	if got := string(resp.Body()); resp.StatusCode() != status || !strings.Contains(got, body) {
		c.t.Fatalf("answer is %d %q, want %d %q", resp.StatusCode(), got, status, body)
	}
}

// wantEnd checks that the server closes, and in an orderly way.
func (c *doorClient) wantEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Fatalf("got %q, %v; want the end of the stream", rest, err)
	}
}

// reset ends the connection with RST.
func (c *doorClient) reset() {
	_ = c.SetLinger(0)
	_ = c.TCPConn.Close()
}

// doorWarmUp has the runtime and netpoll open what they keep for the rest of the
// process, so that a test may count descriptors and goroutines.
func doorWarmUp(t *testing.T) {
	t.Helper()
	t.Run("warm-up", func(t *testing.T) { newDoorHarness(t, nil).dial().get("/") })
}

func doorDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
