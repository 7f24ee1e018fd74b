package netio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// headsOverTheLimits are heads beyond the defaults, with what names the limit.
func headsOverTheLimits() map[string]struct{ head, limit string } {
	const up = "GET / HTTP/1.1\r\nHost: x\r\n"
	return map[string]struct{ head, limit string }{
		"line":                     {"GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nHost: x\r\n\r\n", `"limit":4096,"actual":5014,"knob":"limits.request_line_bytes"}`},
		"line, fields without end": {"GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 20000), `"limit":4096,"actual":5014,"knob":"limits.request_line_bytes"}`},
		"fields beyond any head":   {up + "A: " + strings.Repeat("a", 20000) + "\r\n\r\n", `"limit":8192,"actual":8193,"knob":"limits.head_bytes"}`},
		"line without end":         {"GET /" + strings.Repeat("a", 20000), `"limit":4096,"actual":4097,"knob":"limits.request_line_bytes"}`},
		"fields":                   {up + "A: " + strings.Repeat("a", 9000) + "\r\n\r\n", `"limit":8192,"actual":9016,"knob":"limits.head_bytes"}`},
		"fields without end":       {up + "A: " + strings.Repeat("a", 20000), `"limit":8192,"actual":8193,"knob":"limits.head_bytes"}`},
		"too many fields":          {up + strings.Repeat("X: y\r\n", 99) + "\r\n", `"limit":64,"actual":100,"knob":"limits.head_count"}`},
	}
}

// TestBothDoorsRefuseAHeadAlike: a first head, judged on the loop, and a later one,
// judged beside netpoll, get the same bytes.
func TestBothDoorsRefuseAHeadAlike(t *testing.T) {
	srv := startServer(t, nil, nil)
	for name, c := range headsOverTheLimits() {
		t.Run(name, func(t *testing.T) {
			fast := srv.dialTCP()
			if _, err := io.WriteString(fast, c.head); err != nil {
				t.Fatal(err)
			}
			first, err := io.ReadAll(fast)
			if err != nil || !strings.HasPrefix(string(first), "HTTP/1.1 431 ") || !strings.HasSuffix(string(first), c.limit) {
				t.Fatalf("the fast door answers %s, %v; want %s", first, err, c.limit)
			}
			slow := srv.plain()
			slow.want(200)
			slow.write(c.head)
			later, err := io.ReadAll(slow.r)
			if err != nil || !bytes.Equal(first, later) {
				t.Errorf("the fast door answers\n%s\nthe other\n%s\n%v", first, later, err)
			}
		})
	}
}

// plainClient is one keep-alive conversation.
type plainClient struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (ts *testServer) plain() *plainClient {
	ts.t.Helper()
	conn := ts.dialTCP()
	return &plainClient{t: ts.t, conn: conn, r: bufio.NewReader(conn)}
}

func (c *plainClient) write(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// want sends a small request and reads its answer.
func (c *plainClient) want(status int) {
	c.t.Helper()
	c.write("GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
	c.wantStatus(status)
}

func (c *plainClient) wantStatus(status int) {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status {
		c.t.Fatalf("got %d %s, %v; want %d", r.StatusCode, body, err, status)
	}
}

// TestLimitsFollowSetLimitsInBothDoors: new connections, and conversations that
// were open before, with their next request.
func TestLimitsFollowSetLimitsInBothDoors(t *testing.T) {
	long := "GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nHost: x\r\n"
	fields := strings.Repeat("X: "+strings.Repeat("y", 150)+"\r\n", 80) // 12 KiB
	steps := []struct {
		name   string
		change func(*Limits)
		head   string
		status int
	}{
		{"line, before", nil, long + "\r\n", 431},
		{"line, raised", func(l *Limits) { l.RequestLineBytes = 6 << 10 }, long + "\r\n", 200},
		{"fields, before", nil, long + fields + "\r\n", 431},
		{"fields, bytes raised", func(l *Limits) { l.HeadBytes = 16 << 10 }, long + fields + "\r\n", 431},
		{"fields, count raised", func(l *Limits) { l.HeadCount = 100 }, long + fields + "\r\n", 200},
		{"all far above the defaults", func(l *Limits) { l.RequestLineBytes, l.HeadBytes = 64<<10, 64<<10 },
			"GET /" + strings.Repeat("a", 60<<10) + " HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("b", 60<<10) + "\r\n\r\n", 200},
		{"lowered again", func(l *Limits) { l.RequestLineBytes, l.HeadBytes, l.HeadCount = 1<<10, 1<<10, 8 }, long + "\r\n", 431},
	}
	srv := startServer(t, nil, nil)
	limits := testLimits()
	open := make([]*plainClient, len(steps)) // each conversation has one answer before its step
	for i := range open {
		open[i] = srv.plain()
		open[i].want(200)
	}
	for i, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			if step.change != nil {
				step.change(&limits)
				srv.SetLimits(limits)
			}
			fresh := srv.plain()
			for door, c := range map[string]*plainClient{"fast": fresh, "netpoll": open[i]} {
				c.t = t
				t.Log(door)
				c.write(step.head)
				c.wantStatus(step.status)
			}
		})
	}
}

// TestHandshakeTimeoutFollowsSetLimits: for the first head of a new socket, and
// for a later head of an open conversation.
func TestHandshakeTimeoutFollowsSetLimits(t *testing.T) {
	t.Parallel() // it waits for the clock
	srv := startServer(t, func(c *Config) { c.Limits.HandshakeTimeout = time.Minute }, nil)
	open := srv.plain()
	open.want(200)
	limits := testLimits()
	limits.HandshakeTimeout = time.Second
	srv.SetLimits(limits)
	fresh := srv.plain()
	for _, c := range []*plainClient{fresh, open} {
		c.write("GET /up HTTP/1.1\r\n")
	}
	for _, c := range []*plainClient{fresh, open} {
		if rest, err := io.ReadAll(c.r); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %q, %v; want the end of the connection without a word", rest, err)
		}
	}
}

// TestDoorBodyLimitFollows: the limit in force when the head came decides, also
// about a body that is on its way when the limit is lowered.
func TestDoorBodyLimitFollows(t *testing.T) {
	h := newDoorHarness(t, nil)
	set := func(body int64) {
		l := *h.limits.Load()
		l.Body = body
		h.limits.Store(&l)
	}
	post := func(n int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", n)
	}
	body := strings.Repeat("b", 2000)
	under, over := h.dial(), h.dial()
	under.send(post(len(body)) + body[:1000])
	h.wantPhase(doorBody, 1)
	set(1000)
	under.send(body[1000:])
	under.want(200, "POST / "+body)
	over.get("/")
	over.send(post(len(body)) + body)
	over.want(400, "") // Serve has the head alone, and this one's limit is another
	over.wantEnd()
	set(3000)
	under.send(post(len(body)) + body)
	under.want(200, "POST / "+body)
}
