package hftest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// plain is one keep-alive connection that speaks HTTP by the byte.
type plain struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func (e *Edge) dialPlain() *plain {
	e.t.Helper()
	nc, err := net.DialTimeout("tcp", e.Addr, Patience)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(2 * Patience))
	return &plain{t: e.t, nc: nc, r: bufio.NewReader(nc)}
}

// ask sends a request and reads its answer.
func (p *plain) ask(request string) Response {
	p.t.Helper()
	if _, err := io.WriteString(p.nc, request); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatal(err)
	}
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return Response{Status: resp.StatusCode, Header: resp.Header, Body: string(b)}
}

// TestReloadChangesTheLimitsOfBothDoors: after a SIGHUP a new connection, whose
// first head a loop judges, and one that was open before, whose requests netpoll
// reads, are under the new limits, lowered and raised.
func TestReloadChangesTheLimitsOfBothDoors(t *testing.T) {
	limits := func(line, head string, count int, body, handshake string) string {
		return fmt.Sprintf("[limits]\nrequest_line_bytes = %q\nhead_bytes = %q\nhead_count = %d\nbody_bytes = %q\nhandshake_timeout = %q\n",
			line, head, count, body, handshake)
	}
	const up = "GET /up HTTP/1.1\r\nHost: edge\r\n"
	post := func(bytes int) string {
		const head, tail = `{"name":"x","channel":"a","data":"{}","more":"`, `"}`
		body := head + strings.Repeat("m", bytes-len(head)-len(tail)) + tail
		query := Sign(AppKey, AppSecret, "POST", "/apps/"+AppID+"/events", url.Values{}, body, time.Now()).Encode()
		return fmt.Sprintf("POST /apps/%s/events?%s HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n%s", AppID, query, len(body), body)
	}
	longLine := func(n int) string {
		return "GET /" + strings.Repeat("a", n-len("GET / HTTP/1.1")) + " HTTP/1.1\r\nHost: edge\r\n\r\n"
	}
	fields := func(n int) string {
		return up + "X: " + strings.Repeat("b", n-len("Host: edge\r\nX: \r\n\r\n")) + "\r\n\r\n"
	}
	count := func(n int) string { return up + strings.Repeat("X: y\r\n", n-1) + "\r\n" }

	edge := Start(t, Options{Config: limits("4KiB", "8KiB", 64, "256KiB", "20s")})
	for _, step := range []struct {
		name, config string
		cases        map[string]struct {
			request, want string // "" = is served
		}
	}{
		{"the start", "", map[string]struct{ request, want string }{
			"line":  {longLine(2 << 10), ""},
			"head":  {fields(2 << 10), ""},
			"count": {count(10), ""},
			"body":  {post(20 << 10), ""},
		}},
		{"lowered", limits("1KiB", "1KiB", 8, "16KiB", "1s"), map[string]struct{ request, want string }{
			"line":  {longLine(2 << 10), `"limit":1024,"actual":2048,"knob":"limits.request_line_bytes"}`},
			"head":  {fields(1100), `"limit":1024,"actual":1100,"knob":"limits.head_bytes"}`},
			"count": {count(10), `"limit":8,"actual":10,"knob":"limits.head_count"}`},
			"body":  {post(20 << 10), `"limit":16384,"actual":20480,"knob":"limits.body_bytes"}`},
		}},
		{"raised", limits("64KiB", "64KiB", 1024, "1MiB", "20s"), map[string]struct{ request, want string }{
			"line":       {longLine(64 << 10), ""},
			"head":       {fields(64 << 10), ""},
			"count":      {count(1024), ""},
			"count over": {count(1025), `"limit":1024,"actual":1025,"knob":"limits.head_count"}`},
			"body":       {post(1 << 20), ""},
			"body over":  {post(1<<20 + 1), `"limit":1048576,"actual":1048577,"knob":"limits.body_bytes"}`},
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			open := map[string]*plain{}
			for name := range step.cases {
				open[name] = edge.dialPlain()
				if r := open[name].ask(up + "\r\n"); r.Status != http.StatusOK {
					t.Fatalf("%d %s", r.Status, r.Body)
				}
			}
			slow := edge.dialPlain()
			slow.ask(up + "\r\n")
			if step.config != "" {
				edge.Reload(step.config)
			}
			for name, c := range step.cases {
				for door, conn := range map[string]*plain{"new": edge.dialPlain(), "open": open[name]} {
					r := conn.ask(c.request)
					if served := r.Status == http.StatusOK || r.Status == http.StatusNotFound; served != (c.want == "") || !strings.HasSuffix(r.Body, c.want) {
						t.Errorf("%s, %s connection: %d %s, wanted %s", name, door, r.Status, r.Body, c.want)
					}
				}
			}
			if step.name != "lowered" {
				return
			}
			// handshake_timeout bounds a head, the first one and a later one. The old value
			// is Patience, the new one a second.
			began := time.Now()
			for door, conn := range map[string]*plain{"new": edge.dialPlain(), "open": slow} {
				if _, err := io.WriteString(conn.nc, up); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.r.ReadByte(); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) { // its half is unread
					t.Errorf("half a head on a %s connection: %v, wanted the end", door, err)
				}
			}
			if took := time.Since(began); took > Patience/2 {
				t.Errorf("half a head was waited for %s, limit 1 s", took)
			}
		})
	}
}
