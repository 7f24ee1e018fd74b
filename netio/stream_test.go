package netio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

// streaming is a session that answers /now at once, /events with a stream, and /wait
// when it is pinged.
func streaming(s *echoSession) {
	s.stream = func(s *echoSession, req *frame.StreamRequest) (int, bool) {
		switch path := string(req.Path); path {
		case "/s/now", "/s/last":
			s.conns.Send(req.Slot, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.RawQuery), req.RawQuery))
			s.conns.Finish(req.Slot, path == "/s/now" && req.KeepAlive)
			return 0, false
		case "/s/wait":
			return 1, false
		default:
			s.conns.Send(req.Slot, []byte("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"))
			return 1, true
		}
	}
}

func startStreams(t *testing.T) *testServer {
	return startServer(t, func(c *Config) {
		c.Streams = func(path []byte) bool { return strings.HasPrefix(string(path), "/s/") }
	}, nil, streaming)
}

type httpPeer struct {
	t testing.TB
	c *net.TCPConn
	r *bufio.Reader
}

func (ts *testServer) request(text string) *httpPeer {
	ts.t.Helper()
	c, err := net.Dial("tcp", ts.addr)
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	p := &httpPeer{t: ts.t, c: c.(*net.TCPConn), r: bufio.NewReader(c)}
	p.send(text)
	return p
}

func (p *httpPeer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.c, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *httpPeer) wantBody(want string) {
	p.t.Helper()
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != want {
		p.t.Fatalf("body %q, %v; want %q", body, err, want)
	}
}

func (p *httpPeer) wantText(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.r, got); err != nil || string(got) != want {
		p.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func (p *httpPeer) wantEnd() {
	p.t.Helper()
	if b, err := p.r.ReadByte(); err != io.EOF {
		p.t.Fatalf("byte %q, %v; want the end", b, err)
	}
}

const fields = " HTTP/1.1\r\nHost: x\r\n\r\n"

// TestStreamsShareAConversation: polls, plain requests and an upgrade follow each
// other on one connection, through the loop, the netpoll door and back.
func TestStreamsShareAConversation(t *testing.T) {
	ts := startStreams(t)
	p := ts.request("GET /s/now?1" + fields)
	p.wantBody("1")
	p.send("GET /s/now?2" + fields + "GET /s/now?3" + fields + "GET /s/")
	p.wantBody("2")
	p.wantBody("3")
	p.send("now?4" + fields)
	p.wantBody("4")
	p.send("GET /plain" + fields)
	p.wantBody("GET /plain HTTP/1.1\r\n")

	q := ts.request("GET /s/now?5" + fields)
	q.wantBody("5")
	q.send(upgradeHead)
	resp, err := http.ReadResponse(q.r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}

	r := ts.request("GET /s/last?6" + fields)
	r.wantBody("6")
	r.wantEnd()
	ts.wantGone(3)
}

// TestNextRequestIsThereAtOnce: the next request arrives between the answer to one and
// the look for it, so the loop hears of it twice, by its event and because it looks.
func TestNextRequestIsThereAtOnce(t *testing.T) {
	var p *httpPeer
	connected := make(chan struct{})
	ts := startServer(t, func(c *Config) {
		c.Loops = 1
		c.Streams = func(path []byte) bool { return strings.HasPrefix(string(path), "/s/") }
	}, func(k *kernel) {
		write := k.write
		k.write = func(fd int, b []byte) (int, syscall.Errno) {
			n, errno := write(fd, b)
			if strings.HasSuffix(string(b), "\r\n\r\n1") {
				<-connected
				p.send("GET /s/now?2" + fields + "GET /s/now?3" + fields)
			}
			return n, errno
		}
	}, streaming)
	p = ts.request("GET /s/now?1" + fields)
	close(connected)
	p.wantBody("1")
	p.wantBody("2")
	p.wantBody("3")
}

// wantGone waits until so many streams have ended and none is remembered.
func (ts *testServer) wantGone(atLeast int64) {
	ts.t.Helper()
	eventually(ts.t, "the streams have ended", func() bool {
		return ts.count(func(s *echoSession) int64 { return s.closed.Load() }) >= atLeast
	})
}

func TestStreamsAreCountedSilentAndEnded(t *testing.T) {
	ts := startStreams(t)
	p := ts.request("GET /s/events" + fields)
	p.wantText("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
	p.send("whatever follows is not read")
	eventually(t, "its silence is told", func() bool { return ts.count(func(s *echoSession) int64 { return s.pings.Load() }) >= 2 })
	p.wantText(string(text("ping")))
	_ = p.c.CloseWrite()
	ts.wantGone(1)

	q := ts.request("GET /s/wait" + fields)
	eventually(t, "the poll waits", func() bool { return ts.count(func(s *echoSession) int64 { return s.opened.Load() }) == 2 })
	_ = q.c.SetLinger(0)
	_ = q.c.Close()
	ts.wantGone(2)

	t.Log("a body, another method or another path is not the session's")
	for _, text := range []string{
		"POST /s/now HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "GET /other" + fields,
		"GET /s/now HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab",
	} {
		line, _, _ := strings.Cut(text, "\n")
		ts.request(text).wantBody(line + "\n")
	}
}

// TestStreamThatDoesNotReadIsClosedWithAWord: an event stream whose queue is full is
// told why, when it can be told.
func TestStreamThatDoesNotReadIsClosedWithAWord(t *testing.T) {
	ts := startServer(t, func(c *Config) {
		c.Streams = func(path []byte) bool { return strings.HasPrefix(string(path), "/s/") }
	}, nil, streaming, func(s *echoSession) {
		s.onTick = func(s *echoSession) {
			for slot := range s.live {
				for range 1 << 10 {
					s.conns.Push(slot, &frame.Batch{Plain: pattern(1, 16<<10), Messages: 1})
				}
			}
		}
	})
	p := ts.request("GET /s/events" + fields)
	all, err := io.ReadAll(p.r)
	if err != nil {
		t.Fatal(err)
	}
	if tail := string(all[max(0, len(all)-200):]); !strings.HasSuffix(tail, "data: error 4100\n\n") {
		t.Errorf("the end is %q", tail)
	}
	ts.wantGone(1)
}

func TestStreamsLeaveNoDescriptor(t *testing.T) {
	before := doorDescriptors(t)
	t.Run("server", func(t *testing.T) {
		ts := startStreams(t)
		for i := range 300 {
			p := ts.request("GET /s/" + []string{"now", "wait", "events", "last"}[i%4] + fields)
			if i%3 == 0 {
				_ = p.c.SetLinger(0)
			}
			if i%2 == 0 {
				_ = p.c.Close()
			}
		}
	})
	eventually(t, "descriptors are given back", func() bool { return doorDescriptors(t) <= before })
}

// TestShutdownDoesNotWaitForQuietSockets: neither for a conversation between two
// requests nor, for long, for a socket that has sent nothing.
func TestShutdownDoesNotWaitForQuietSockets(t *testing.T) {
	ts := startStreams(t)
	p := ts.request("GET /s/now?1" + fields)
	p.wantBody("1")
	silent := ts.request("")
	eventually(t, "both are there", func() bool { return ts.admission.live.Load() == 2 })
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := ts.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	p.wantEnd()
	silent.wantEnd()
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}
