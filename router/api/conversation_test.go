package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestKeepAlive: many requests of all kinds on one connection, a refused one among them.
func TestKeepAlive(t *testing.T) {
	h := start(t)
	c := h.dial()
	for i := range 50 {
		c.send(signed("POST", eventsPath, "", fmt.Sprintf(`{"name":"x","data":"%d","channel":"a"}`, i), testNow))
		c.receive("POST").want(t, 200, `{}`)
		c.send(raw("GET", "/up", ""))
		c.receive("GET").want(t, 200, `{"health":"OK"}`)
		c.send(signed("GET", "/apps/3/nothing", "", "", testNow))
		if got := c.receive("GET"); got.status != 404 {
			t.Fatalf("got %d", got.status)
		}
	}
	if n := len(h.router.events()); n != 50 {
		t.Errorf("published %d events", n)
	}
	c.conn.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert,errcheck // a TCP connection of this test
	c.wantEnd()
}

// TestPipelining: requests sent in one write are answered in order, and published in order.
func TestPipelining(t *testing.T) {
	h := start(t)
	c := h.dial()
	var all strings.Builder
	for i := range 20 {
		all.WriteString(signed("POST", eventsPath, "", fmt.Sprintf(`{"name":"x","data":"%d","channel":"a"}`, i), testNow))
		all.WriteString(signed("GET", "/apps/3/connections", "", "", testNow))
	}
	c.send(all.String())
	for range 20 {
		c.receive("POST").want(t, 200, `{}`)
		c.receive("GET").want(t, 200, `{"connections":19000}`)
	}
	for i, ev := range h.router.events() {
		if ev.Data != fmt.Sprint(i) {
			t.Fatalf("event %d carries %q", i, ev.Data)
		}
	}
}

// TestByteByByte: a request that comes in single bytes is a request.
func TestByteByByte(t *testing.T) {
	h := start(t)
	c := h.dial()
	request := signed("POST", eventsPath, "", event("tag", "1"), testNow)
	for i := range request {
		c.send(request[i : i+1])
	}
	c.receive("POST").want(t, 200, `{}`)
}

// TestChunkedBody: the signature is that of the body, however it was framed.
func TestChunkedBody(t *testing.T) {
	h := start(t)
	body := event("tag", "1")
	c := h.dial()
	for range 2 {
		c.send("POST " + eventsPath + "?" + sign(testKey, testSecret, "POST", eventsPath, "", body, testNow) +
			" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
		for i := range body {
			c.send("1\r\n" + body[i:i+1] + "\r\n")
		}
		c.send("0\r\n\r\n")
		c.receive("POST").want(t, 200, `{}`)
	}
}

// TestBodyOfGetIsNoRequest: a body where none belongs is taken off the connection,
// it does not become the next request.
func TestBodyOfGetIsNoRequest(t *testing.T) {
	h := start(t)
	c := h.dial()
	smuggled := raw("GET", "/nothing", "")
	c.send(fmt.Sprintf("GET /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled))
	c.send(raw("GET", "/up", ""))
	c.receive("GET").want(t, 200, `{"health":"OK"}`)
	c.receive("GET").want(t, 200, `{"health":"OK"}`)
}

// TestHead: what GET is answered with, without the body, and the conversation goes on.
func TestHead(t *testing.T) {
	h := start(t)
	c := h.dial()
	for _, request := range []string{
		raw("HEAD", "/up", ""),
		signed("HEAD", "/apps/3/channels", "", "", testNow),
		signed("HEAD", "/apps/3/connections", "", "", testNow),
	} {
		c.send(request)
		got := c.receive("HEAD")
		got.want(t, 200, "")
		if got.header.Get("Content-Length") == "0" {
			t.Errorf("Content-Length is 0, it must be the body's of GET")
		}
	}
	c.send(signed("HEAD", "/apps/3/users/7/terminate_connections", "", "", testNow))
	if got := c.receive("HEAD"); got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("got %d, Allow %q", got.status, got.header.Get("Allow"))
	}
	c.send(raw("GET", "/up", ""))
	c.receive("GET").want(t, 200, `{"health":"OK"}`)
}

// TestRefusedHeadHasNoBody: a refusal before the request was whole is no exception.
func TestRefusedHeadHasNoBody(t *testing.T) {
	c := start(t).dial()
	c.send("HEAD /up HTTP/1.1\r\nHost: h\r\nContent-Length: 999999\r\n\r\n")
	c.receive("HEAD").want(t, 413, "")
	c.conn.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert,errcheck // a TCP connection of this test
	c.wantEnd()
}

// TestOtherMethods: preflights and the like get a 405 with Allow on what exists, a
// 404 on what does not, and nothing that a browser takes for permission.
func TestOtherMethods(t *testing.T) {
	h := start(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"OPTIONS", eventsPath, 405, "POST"},
		{"OPTIONS", "/up", 405, "GET, HEAD"},
		{"OPTIONS", "/", 404, ""},
		{"OPTIONS", "*", 404, ""},
		{"PUT", "/apps/3/channels/a", 405, "GET, HEAD"},
		{"DELETE", "/apps/3/channels/presence-a/users", 405, "GET, HEAD"},
		{"PATCH", "/apps/3/batch_events", 405, "POST"},
		{"BREW", "/up", 405, "GET, HEAD"},
		{"GET", "/app/278d425bdf160c739803", 404, ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			got := h.do(raw(c.method, c.path, "", "Origin: https://a.example", "Access-Control-Request-Method: POST"), c.method)
			if got.status != c.status || got.header.Get("Allow") != c.allow {
				t.Errorf("got %d, Allow %q", got.status, got.header.Get("Allow"))
			}
			for name := range got.header {
				if strings.HasPrefix(name, "Access-Control") {
					t.Errorf("header %s", name)
				}
			}
		})
	}
}

// TestHeaders: the answer says who it is and what it carries, nothing else.
func TestHeaders(t *testing.T) {
	got := start(t).do(raw("GET", "/up", ""), "GET")
	if got.header.Get("Server") != "holdfast" || got.header.Get("Content-Type") != "application/json" || got.header.Get("Content-Length") != "15" {
		t.Errorf("headers %v", got.header)
	}
	for name := range got.header {
		switch name {
		case "Server", "Content-Type", "Content-Length", "Date":
		default:
			t.Errorf("unexpected header %s", name)
		}
	}
}

func TestConnectionClose(t *testing.T) {
	h := start(t)
	t.Run("asked for", func(t *testing.T) {
		c := h.dial()
		c.send(raw("GET", "/up", "", "Connection: close"))
		if got := c.receive("GET"); !got.last {
			t.Error("the answer does not say that it is the last")
		}
		c.wantEnd()
	})
	t.Run("HTTP/1.0", func(t *testing.T) {
		c := h.dial()
		c.send("GET /up HTTP/1.0\r\n\r\n")
		if got := c.receive("GET"); got.status != 200 || !got.last {
			t.Errorf("got %d, last %v", got.status, got.last)
		}
		c.wantEnd()
	})
	t.Run("draining", func(t *testing.T) {
		h := start(t)
		h.server.Drain()
		c := h.dial()
		c.send(raw("GET", "/up", ""))
		c.receive("GET").want(t, 200, `{"health":"OK"}`)
		c.wantEnd()
	})
}

// TestExpectContinue: a client that asks first is told to go on, or why not.
func TestExpectContinue(t *testing.T) {
	h := start(t)
	body := event("tag", "1")
	head := func(length int) string {
		return fmt.Sprintf("POST %s?%s HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
			eventsPath, sign(testKey, testSecret, "POST", eventsPath, "", body, testNow), length)
	}
	t.Run("taken", func(t *testing.T) {
		c := h.dial()
		for range 2 {
			c.send(head(len(body)))
			line, err := c.in.ReadString('\n')
			if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("got %q, %v", line, err)
			}
			if line, err = c.in.ReadString('\n'); err != nil || line != "\r\n" {
				t.Fatalf("got %q, %v", line, err)
			}
			c.send(body)
			c.receive("POST").want(t, 200, `{}`)
		}
	})
	t.Run("refused before the body", func(t *testing.T) {
		c := h.dial()
		c.send(head(1 << 20))
		got := c.receive("POST")
		got.want(t, 413, `{"error":"the request body is 1,048,576 bytes, limit 262,144: raise limits.body_bytes","code":"body_too_large","status":413,"limit":262144,"actual":1048576,"knob":"limits.body_bytes"}`)
		if !got.last || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("last %v, headers %v", got.last, got.header)
		}
		c.conn.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert,errcheck // a TCP connection of this test
		c.wantEnd()
	})
}

// TestOversizedBodyIsAnswered: a client that sends its whole body before it reads
// gets the 413, not a reset connection.
func TestOversizedBodyIsAnswered(t *testing.T) {
	h := start(t)
	const size = 700 << 10
	for name, request := range map[string]string{
		"declared": fmt.Sprintf("POST /apps/3/events HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)),
		"chunked":  fmt.Sprintf("POST /apps/3/events HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, strings.Repeat("x", size)),
	} {
		t.Run(name, func(t *testing.T) {
			c := h.dial()
			c.send(request)
			got := c.receive("POST")
			if got.status != 413 || !got.last {
				t.Errorf("got %d, last %v", got.status, got.last)
			}
			c.wantEnd()
		})
	}
}

// TestUnreadBodyEndsInTime: a client that goes on sending and never reads is cut
// off after a bounded number of bytes.
func TestUnreadBodyEndsInTime(t *testing.T) {
	h := start(t)
	c := h.dial()
	c.send("POST /apps/3/events HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n")
	sent := 0
	for {
		n, err := io.WriteString(c.conn, strings.Repeat("x", 64<<10))
		sent += n
		if err != nil {
			break
		}
		if sent > 64<<20 {
			t.Fatal("the server reads on without end")
		}
	}
	<-c.ended
}

// TestBodyLimitFollowsSetLimits: the limit of a request is the one in force when
// its head came, on conversations that were open before, too.
func TestBodyLimitFollowsSetLimits(t *testing.T) {
	h := start(t)
	c := h.dial()
	c.send(raw("GET", "/up", ""))
	c.receive("GET").want(t, 200, `{"health":"OK"}`)
	limits := testConfig().Limits
	limits.BodyBytes = 16 << 10
	if err := h.server.SetLimits(limits); err != nil {
		t.Fatal(err)
	}
	c.send("POST /apps/3/events HTTP/1.1\r\nHost: h\r\nContent-Length: 16385\r\n\r\n")
	if got := c.receive("POST"); got.status != 413 || !strings.Contains(got.body, `"limit":16384,"actual":16385`) {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// TestTimeouts: in the middle of a request the client is told, between two it is not.
func TestTimeouts(t *testing.T) {
	h := start(t)
	t.Run("in a slow body", func(t *testing.T) {
		c := h.dial(func(c net.Conn) net.Conn {
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) //nolint:errcheck // a TCP connection of this test
			return c
		})
		c.send("POST /apps/3/events HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
		got := c.receive("POST")
		got.want(t, 408, `{"error":"the request did not come whole in time","code":"timeout","status":408}`)
		c.wantEnd()
	})
	t.Run("between requests", func(t *testing.T) {
		c := h.dial(func(c net.Conn) net.Conn { return &timedOut{Conn: c, after: 1} })
		c.send(raw("GET", "/up", ""))
		c.receive("GET").want(t, 200, `{"health":"OK"}`)
		if b, err := c.in.ReadByte(); err != io.EOF {
			t.Fatalf("got byte %q, error %v", b, err)
		}
		if err := <-c.ended; err != nil {
			t.Errorf("ServeConn returned %v", err)
		}
	})
}

// TestPeerLeaves: a client that goes away in the middle ends the conversation.
func TestPeerLeaves(t *testing.T) {
	h := start(t)
	whole := signed("POST", eventsPath, "", event("tag", "1"), testNow)
	for _, cut := range []int{0, 10, strings.Index(whole, "\r\n\r\n") + 2, len(whole) - 1} {
		c := h.dial()
		c.send(whole[:cut])
		if err := c.conn.Close(); err != nil {
			t.Fatal(err)
		}
		<-c.ended
	}
	if n := len(h.router.events()); n != 0 {
		t.Errorf("published %d events from partial requests", n)
	}
}

// TestHeadOfExactlyTheLimit: a line of request_line_bytes with fields of head_bytes,
// head_count of them, passes; one more of anything does not.
func TestHeadOfExactlyTheLimit(t *testing.T) {
	const fields = "Host: h\r\nX: "
	head := func(line, head, count int) string {
		more := strings.Repeat("Y: z\r\n", count-2)
		return "GET /up?" + strings.Repeat("q", line-len("GET /up? HTTP/1.1")) + " HTTP/1.1\r\n" +
			fields + strings.Repeat("x", head-len(fields)-len(more)-len("\r\n\r\n")) + "\r\n" + more + "\r\n"
	}
	h := start(t)
	h.do(head(4<<10, 8<<10, 64), "GET").want(t, 200, `{"health":"OK"}`)
	for knob, over := range map[string]string{
		"limits.request_line_bytes": head(4<<10+1, 8<<10, 64),
		"limits.head_bytes":         head(4<<10, 8<<10+1, 64),
		"limits.head_count":         head(4<<10, 8<<10, 65),
	} {
		if got := h.do(over, "GET"); got.status != 431 || !strings.Contains(got.body, `"knob":"`+knob+`"`) {
			t.Errorf("%s: got %d %s", knob, got.status, got.body)
		}
	}
}

// TestHeadLimitsFollowSetLimits: lowered ones with the next request, raised ones
// with the next ServeConn, whose buffer is larger.
func TestHeadLimitsFollowSetLimits(t *testing.T) {
	h := start(t)
	request := func(n int) string { return raw("GET", "/up", "", "X: "+strings.Repeat("x", n)) }
	c := h.dial()
	c.send(request(4 << 10))
	c.receive("GET").want(t, 200, `{"health":"OK"}`)
	limits := testConfig().Limits
	limits.HeadBytes = 1 << 10
	if err := h.server.SetLimits(limits); err != nil {
		t.Fatal(err)
	}
	c.send(request(4 << 10))
	if got := c.receive("GET"); got.status != 431 || !got.last {
		t.Errorf("lowered: got %d, last %v", got.status, got.last)
	}
	limits.HeadBytes = 64 << 10
	if err := h.server.SetLimits(limits); err != nil {
		t.Fatal(err)
	}
	h.do(request(60<<10), "GET").want(t, 200, `{"health":"OK"}`)
}

// TestOverPipe: any net.Conn will do, one without half-close too.
func TestOverPipe(t *testing.T) {
	h := start(t)
	near, far := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- h.server.ServeConn(far) }()
	c := &client{t: t, conn: near, ended: ended}
	c.in = bufio.NewReader(near)
	go c.send(raw("GET", "/up", ""))
	c.receive("GET").want(t, 200, `{"health":"OK"}`)
	go io.WriteString(near, "nonsense\r\n\r\n") //nolint:errcheck // the answer tells
	if got := c.receive("GET"); got.status != 400 {
		t.Errorf("got %d", got.status)
	}
	near.Close() //nolint:errcheck // net.Pipe
	<-ended
}
