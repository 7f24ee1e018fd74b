package bench_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/bench"
)

// fakeServer speaks as much of the Pusher protocol as the load client asks for,
// and goes wrong where a test wants it to. It numbers nothing, as other servers.
type fakeServer struct {
	t *testing.T
	*httptest.Server

	// What goes wrong; nil and 0: nothing. Set before the first connection.
	// deliver returns what subscriber to (from 0) gets in place of event n (from 1), as data.
	deliver   func(to, n int, data string) []string
	subscribe func(number int, conn net.Conn) bool // of the number-th connection; true: it has answered itself
	status    func(n int) int                      // of the n-th publish; 0: 200
	activity  int                                  // s; 0: 120

	mu      sync.Mutex
	conns   int
	members []fakeMember
	events  int
	pings   int
}

type fakeMember struct {
	conn    net.Conn
	channel string
}

// newFakeServer starts a server after set has told it what goes wrong: nothing else
// orders the two, since the client's sockets are unknown to the race detector.
func newFakeServer(t *testing.T, set func(f *fakeServer)) *fakeServer {
	f := &fakeServer{t: t, activity: 120}
	set(f)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /app/app-key", f.socket)
	mux.HandleFunc("POST /apps/app-id/events", f.publish)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, m := range f.members {
			m.conn.Close()
		}
	})
	return f
}

func (f *fakeServer) url() string { return "ws" + strings.TrimPrefix(f.URL, "http") }

func (f *fakeServer) socket(w http.ResponseWriter, r *http.Request) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer conn.Close()
	f.mu.Lock()
	number := f.conns
	f.conns++
	f.mu.Unlock()
	f.send(conn, fmt.Sprintf(`{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.%d\",\"activity_timeout\":%d}"}`, number, f.activity))
	for {
		text, err := wsutil.ReadClientText(conn)
		if err != nil {
			return
		}
		var m struct {
			Event string
			Data  struct{ Channel string }
		}
		if json.Unmarshal(text, &m) != nil {
			f.t.Errorf("the client sent %q", text)
			return
		}
		switch m.Event {
		case "pusher:ping":
			f.mu.Lock()
			f.pings++
			f.mu.Unlock()
			f.send(conn, `{"event":"pusher:pong","data":"{}"}`)
		case "pusher:subscribe":
			if f.subscribe != nil && f.subscribe(number, conn) {
				continue
			}
			f.mu.Lock()
			f.members = append(f.members, fakeMember{conn, m.Data.Channel})
			f.send(conn, fmt.Sprintf(`{"event":"pusher_internal:subscription_succeeded","data":"{}","channel":%q}`, m.Data.Channel))
			f.mu.Unlock()
		}
	}
}

func (f *fakeServer) send(conn net.Conn, text string) {
	_ = wsutil.WriteServerText(conn, []byte(text))
}

func (f *fakeServer) publish(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name     string
		Channels []string
		Data     string
	}
	text, _ := io.ReadAll(r.Body)
	if json.Unmarshal(text, &body) != nil || !strings.Contains(r.URL.RawQuery, "auth_signature=") {
		http.Error(w, "bad", 400)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events++
	if f.status != nil {
		if status := f.status(f.events); status != 0 {
			http.Error(w, `{"error":"no"}`, status)
			return
		}
	}
	for to, m := range f.members {
		if m.channel != body.Channels[0] {
			continue
		}
		all := []string{body.Data}
		if f.deliver != nil {
			all = f.deliver(to, f.events, body.Data)
		}
		for _, data := range all {
			f.send(m.conn, fmt.Sprintf(`{"event":%q,"data":%q,"channel":%q}`, body.Name, data, m.channel))
		}
	}
	io.WriteString(w, "{}")
}

// small is a fan-out that takes a fraction of a second: five connections, ten events.
func small(f *fakeServer) bench.Params {
	p := bench.Default(bench.Fanout)
	p.URL, p.Connections, p.PublishRate, p.Duration, p.Grace = f.url(), 5, 100, 100*time.Millisecond, time.Second
	p.Publishers = 1 // one after the other: what comes out of order is the server's doing
	return p
}

func run(t *testing.T, p bench.Params) *bench.Result {
	t.Helper()
	r, err := bench.Run(t.Context(), p, bench.Host{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The books find what a server loses, repeats and swaps.
func TestFaultyDelivery(t *testing.T) {
	var kept string
	for name, c := range map[string]struct {
		deliver                     func(to, n int, data string) []string
		lost, duplicate, disordered int64
		foreign                     int64
	}{
		"nothing": {nil, 0, 0, 0, 0},
		"one lost in the middle": {func(to, n int, data string) []string {
			if to == 2 && n == 5 {
				return nil
			}
			return []string{data}
		}, 1, 0, 0, 0},
		"the last lost by all": {func(_, n int, data string) []string {
			if n == 10 {
				return nil
			}
			return []string{data}
		}, 5, 0, 0, 0},
		"the first lost": {func(to, n int, data string) []string {
			if to == 0 && n == 1 {
				return nil
			}
			return []string{data}
		}, 1, 0, 0, 0},
		"one twice": {func(to, n int, data string) []string {
			if to == 4 && n == 3 {
				return []string{data, data}
			}
			return []string{data}
		}, 0, 1, 0, 0},
		"two swapped": {func(to, n int, data string) []string {
			switch {
			case to == 1 && n == 6:
				kept = data
				return nil
			case to == 1 && n == 7:
				return []string{data, kept}
			}
			return []string{data}
		}, 0, 0, 1, 0},
		"events of others": {func(to, _ int, data string) []string { return []string{"hello", data, "ffffffff" + data[8:]} }, 0, 0, 0, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for what does not come
			f := newFakeServer(t, func(f *fakeServer) { f.deliver = c.deliver })
			r := run(t, small(f))
			e := r.Events
			if e.Lost != c.lost || e.Duplicate != c.duplicate || e.Disordered != c.disordered || e.Foreign != c.foreign {
				t.Errorf("%+v", e)
			}
			if e.Published != 10 || e.Expected != 50 || e.Received != 50-c.lost {
				t.Errorf("published %d, received %d of %d", e.Published, e.Received, e.Expected)
			}
			if bad := c.lost+c.duplicate+c.disordered > 0; (r.ExitCode != 0) != bad {
				t.Errorf("exit code %d", r.ExitCode)
			}
		})
	}
}

// A publish that the server refuses is a failure of the publish, not a loss.
func TestRefusedPublishes(t *testing.T) {
	f := newFakeServer(t, func(f *fakeServer) {
		f.status = func(n int) int {
			if n == 4 || n == 10 {
				return 429
			}
			return 0
		}
	})
	r := run(t, small(f))
	if e := r.Events; e.Failed != 2 || e.Failures["HTTP 429"] != 2 || e.Published != 8 || e.Lost != 0 || e.Expected != 40 || e.Received != 40 || r.ExitCode != 1 {
		t.Errorf("exit code %d: %+v", r.ExitCode, e)
	}
}

// A slow answer makes later publishes late only when no further connection may be
// opened; latency counts from when each was due.
func TestOpenLoop(t *testing.T) {
	slow := func(n int) int {
		if n == 3 {
			time.Sleep(300 * time.Millisecond) // under the lock: nothing is delivered meanwhile
		}
		return 0
	}
	isSlow := func(f *fakeServer) { f.status = slow }
	f := newFakeServer(t, isSlow)
	p := small(f)
	p.PublishRate, p.Duration = 50, 400*time.Millisecond // a publish each 20 ms: some 15 are due meanwhile
	r := run(t, p)
	if e := r.Events; e.Late < 10 || e.MaxLate < 200 || e.Answer.Max < 280 || e.Delivery.P50 < 50 || e.Delivery.Max < 280 || e.Lost != 0 || r.ExitCode != 0 {
		t.Errorf("one publisher: %+v", e)
	}
	f = newFakeServer(t, isSlow)
	p.URL, p.Publishers = f.url(), 64
	r = run(t, p)
	if e := r.Events; e.Publishers < 10 || e.Late > 5 || e.Delivery.Max < 280 || e.Lost != 0 || e.Disordered != 0 || r.ExitCode != 0 {
		t.Errorf("many publishers: %+v", e)
	}
}

// Why connections failed is told by code, status and errno.
func TestRefusedConnections(t *testing.T) {
	closeWith := func(code ws.StatusCode) func(int, net.Conn) bool {
		return func(number int, conn net.Conn) bool {
			if number%2 == 1 {
				return false
			}
			_ = wsutil.WriteServerText(conn, fmt.Appendf(nil, `{"event":"pusher:error","data":{"code":%d,"message":"go away"}}`, code))
			_ = ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(code, "go away")))
			return true
		}
	}
	f := newFakeServer(t, func(f *fakeServer) { f.subscribe = closeWith(4004) })
	p := bench.Default(bench.Connect)
	p.URL, p.Connections, p.Hold = f.url(), 20, 0
	r := run(t, p)
	c := r.Connections
	if c.Failed != 10 || c.CloseCodes["4004"] != 10 || c.Errors["4004"] != 10 || c.Failures["closed with 4004"] != 10 || c.AtEnd != 10 || r.ExitCode != 1 {
		t.Errorf("%+v", c)
	}
	p.AppKey = "other"
	if c := run(t, p).Connections; c.Failures["handshake: HTTP 404"] != 20 {
		t.Errorf("%+v", c)
	}
	f.Close()
	if c := run(t, p).Connections; c.Failures["connect: ECONNREFUSED"] != 20 || c.Failed != 20 {
		t.Errorf("%+v", c)
	}
}

// In a storm clients do as stock clients: after 4200 they come back at once, after
// 4004 never.
func TestStormFollowsCloseCodes(t *testing.T) {
	for code, want := range map[ws.StatusCode]struct{ subscribed, retries, failed int64 }{4200: {8, 4, 0}, 4004: {4, 0, 4}} {
		f := newFakeServer(t, func(f *fakeServer) {
			f.subscribe = func(number int, conn net.Conn) bool {
				if number >= 4 {
					return false
				}
				_ = ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))
				return true
			}
		})
		p := bench.Default(bench.Storm)
		p.URL, p.Connections, p.Rounds = f.url(), 8, 1
		r := run(t, p)
		if one := r.Connections.Rounds[0]; one.Subscribed != want.subscribed || one.Retries != want.retries || r.Connections.Failed != want.failed {
			t.Errorf("%d: %+v", code, r.Connections)
		}
	}
}

// A subscription that is not answered ends at the timeout.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	f := newFakeServer(t, func(f *fakeServer) { f.subscribe = func(int, net.Conn) bool { return true } })
	p := bench.Default(bench.Connect)
	p.URL, p.Connections, p.Hold, p.ConnectTimeout = f.url(), 3, 0, time.Second
	if c := run(t, p).Connections; c.Failures["subscribe: timeout"] != 3 {
		t.Errorf("%+v", c)
	}
}

// A server that wants signs of life gets them.
func TestClientPings(t *testing.T) {
	t.Parallel()
	f := newFakeServer(t, func(f *fakeServer) { f.activity = 1 })
	p := bench.Default(bench.Connect)
	p.URL, p.Connections, p.Hold = f.url(), 10, 2*time.Second
	r := run(t, p)
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Connections.PingsSent < 10 || r.Connections.PingsSent > 20 || f.pings < 10 || r.Connections.Dropped != 0 {
		t.Errorf("%d pings sent, %d arrived: %+v", r.Connections.PingsSent, f.pings, r.Connections)
	}
}
