package api

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// nullRouter takes every event and does nothing with it.
type nullRouter struct{ *fakeRouter }

func (nullRouter) Publish(*router.App, *router.Event) error { return nil }

// looped is a connection in memory whose client sends the same request n times,
// the next one when the server reads again, and counts the answers' bytes.
type looped struct {
	request []byte
	n       int
	sent    int    // bytes of the request under way
	answer  []byte // the last one
}

func (c *looped) Read(p []byte) (int, error) {
	if c.n == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.request[c.sent:])
	if c.sent += n; c.sent == len(c.request) {
		c.n, c.sent = c.n-1, 0
	}
	return n, nil
}

func (c *looped) Write(p []byte) (int, error) {
	c.answer = append(c.answer[:0], p...)
	return len(p), nil
}

func (*looped) Close() error                     { return nil }
func (*looped) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*looped) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*looped) SetDeadline(time.Time) error      { return nil }
func (*looped) SetReadDeadline(time.Time) error  { return nil }
func (*looped) SetWriteDeadline(time.Time) error { return nil }

// laravelEvent is the body of a usual broadcast, with 120 bytes of data.
const laravelEvent = `{"name":"App\\Events\\OrderShipped","data":"{\"order\":{\"id\":4711,\"status\":\"shipped\",\"carrier\":\"DHL\",\"tracking\":\"00340434161094042557\"},\"socket\":null}","channel":"private-orders.4711"}`

// batchOf is a batch body of n such events.
func batchOf(n int) string {
	return `{"batch":[` + strings.TrimSuffix(strings.Repeat(laravelEvent+",", n), ",") + `]}`
}

func serveLooped(tb testing.TB, s *Server, request string, n int) {
	tb.Helper()
	(&looped{request: []byte(request)}).serve(tb, s, n)
}

// serve has the request answered n times in one call of ServeConn.
func (c *looped) serve(tb testing.TB, s *Server, n int) {
	tb.Helper()
	c.n = n
	if err := s.ServeConn(c); err != nil {
		tb.Fatal(err)
	}
	if !strings.HasPrefix(string(c.answer), "HTTP/1.1 200 OK\r\n") {
		tb.Fatalf("answer %s", c.answer)
	}
}

func benchServer(tb testing.TB, change ...func(*Config)) *Server {
	h := start(tb, change...)
	h.server.router = nullRouter{h.router}
	return h.server
}

// BenchmarkPublish is a signed publish from the request's first byte to the
// answer's last, kept alive, without the router's own work.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct{ name, path, body string }{
		{"event", eventsPath, laravelEvent},
		{"event_10KiB", eventsPath, `{"name":"x","data":"` + strings.Repeat("d", 10<<10) + `","channels":["a"]}`},
		{"batch_10", "/apps/3/batch_events", batchOf(10)},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := benchServer(b)
			request := signed("POST", c.path, "", c.body, testNow)
			b.ReportAllocs()
			b.ResetTimer()
			serveLooped(b, s, request, b.N)
		})
	}
}

// BenchmarkPublishOneByOne is the same for a caller that gives each request of a
// connection to ServeConn by itself.
func BenchmarkPublishOneByOne(b *testing.B) {
	s := benchServer(b)
	c := &looped{request: []byte(signed("POST", eventsPath, "", laravelEvent, testNow))}
	b.ReportAllocs()
	for b.Loop() {
		c.serve(b, s, 1)
	}
}

// BenchmarkUp is the floor under every request: fasthttp and routing.
func BenchmarkUp(b *testing.B) {
	s := benchServer(b)
	b.ReportAllocs()
	serveLooped(b, s, raw("GET", "/up", ""), b.N)
}

// BenchmarkReadEvent is the JSON of a publish alone.
func BenchmarkReadEvent(b *testing.B) {
	d, body := new(decoder), []byte(laravelEvent)
	b.ReportAllocs()
	for b.Loop() {
		if _, r := d.readEvent(body, 100); r != nil {
			b.Fatal(r.text)
		}
	}
}
