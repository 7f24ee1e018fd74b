package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const goodToken = "0123456789abcdef"

// farListener makes every peer of a real socket look like another machine's.
type farListener struct{ net.Listener }

type farConn struct{ net.Conn }

func (l farListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return farConn{c}, nil
}

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9} }

func options() Options {
	return Options{
		Hosts:    []string{"localhost", "127.0.0.1", "::1", "Admin.Example"},
		Gatherer: prometheus.NewRegistry(),
		Live:     func() error { return nil },
		Ready:    func() error { return nil },
		Log:      slog.New(slog.DiscardHandler),
	}
}

// start serves on l for the length of the test and returns a client to it.
func start(t *testing.T, o Options, l net.Listener) *http.Client {
	t.Helper()
	s := New(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, l.Addr().Network(), l.Addr().String())
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &http.Client{Transport: transport}
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ask sends one request and returns the status and body.
func ask(t *testing.T, c *http.Client, method, path, host string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://admin"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestWhoMayAsk(t *testing.T) {
	bearer := []string{"Authorization", "Bearer " + goodToken}
	cases := []struct {
		name         string
		far, unix    bool
		token        string
		method, host string
		header       []string
		want         int
	}{
		{"near, GET", false, false, "", "GET", "localhost:9090", nil, 200},
		{"near, HEAD", false, false, "", "HEAD", "127.0.0.1", nil, 200},
		{"near, IPv6 name", false, false, "", "GET", "[::1]:9090", nil, 200},
		{"near, bare IPv6 name", false, false, "", "GET", "[::1]", nil, 200},
		{"near, name in another case", false, false, "", "GET", "ADMIN.example:1", nil, 200},
		{"near, a name that was rebound", false, false, "", "GET", "evil.example:9090", nil, 403},
		{"near, a name that only begins well", false, false, "", "GET", "localhost.evil.example", nil, 403},
		{"near, a page of another origin", false, false, "", "GET", "localhost:9090", []string{"Origin", "https://evil.example"}, 403},
		{"near, an opaque origin", false, false, "", "GET", "localhost:9090", []string{"Origin", "null"}, 403},
		{"near, own origin", false, false, "", "GET", "localhost:9090", []string{"Origin", "http://localhost:9090"}, 200},
		{"near, POST, no token configured", false, false, "", "POST", "localhost", nil, 403},
		{"near, POST, empty token given", false, false, "", "POST", "localhost", []string{"Authorization", "Bearer "}, 403},
		{"near, GET, token configured", false, false, goodToken, "GET", "localhost", nil, 200},
		{"near, POST, no token given", false, false, goodToken, "POST", "localhost", nil, 401},
		{"near, POST, token: no such method", false, false, goodToken, "POST", "localhost", bearer, 405},
		{"near, POST, token, rebound name", false, false, goodToken, "POST", "evil.example", bearer, 403},
		{"far, no token configured", true, false, "", "GET", "admin.example", nil, 403},
		{"far, no token given", true, false, goodToken, "GET", "admin.example", nil, 401},
		{"far, wrong token", true, false, goodToken, "GET", "admin.example", []string{"Authorization", "Bearer 0123456789abcdeg"}, 401},
		{"far, longer token", true, false, goodToken, "GET", "admin.example", []string{"Authorization", "Bearer " + goodToken + "0"}, 401},
		{"far, token as Basic", true, false, goodToken, "GET", "admin.example", []string{"Authorization", "Basic " + goodToken}, 401},
		{"far, token", true, false, goodToken, "GET", "admin.example", bearer, 200},
		{"far, token, rebound name", true, false, goodToken, "GET", "evil.example", bearer, 403},
		{"unix, GET, any name", false, true, "", "GET", "whatever", nil, 200},
		{"unix, POST", false, true, "", "POST", "whatever", nil, 403},
		{"unix, POST, token: no such method", false, true, goodToken, "POST", "whatever", bearer, 405},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			o := options()
			o.Token = tc.token
			var l net.Listener
			switch {
			case tc.unix:
				var err error
				if l, err = Listen("unix", filepath.Join(t.TempDir(), "a.sock")); err != nil {
					t.Fatal(err)
				}
			case tc.far:
				l = farListener{loopback(t)}
			default:
				l = loopback(t)
			}
			if got, body := ask(t, start(t, o, l), tc.method, "/livez", tc.host, tc.header...); got != tc.want {
				t.Errorf("status %d, want %d: %s", got, tc.want, body)
			}
		})
	}
}

func TestProbesFollowTheirFunctions(t *testing.T) {
	var stuck atomic.Bool
	o := options()
	o.Live = func() error {
		if stuck.Load() {
			return errors.New("loop 1 has not turned for 5 s")
		}
		return nil
	}
	o.Ready = func() error { return errors.New("draining") }
	c := start(t, o, loopback(t))
	if status, body := ask(t, c, "GET", "/livez", "localhost"); status != 200 || body != "ok\n" {
		t.Errorf("live: %d %q", status, body)
	}
	stuck.Store(true)
	if status, body := ask(t, c, "GET", "/livez", "localhost"); status != 503 || body != "loop 1 has not turned for 5 s\n" {
		t.Errorf("stuck: %d %q", status, body)
	}
	if status, body := ask(t, c, "GET", "/readyz", "localhost"); status != 503 || body != "draining\n" {
		t.Errorf("ready: %d %q", status, body)
	}
	if status, _ := ask(t, c, "GET", "/", "localhost"); status != 404 {
		t.Errorf("root: %d", status)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(BuildInfo{Version: "v1.2.3", Revision: "abc", GoVersion: "go1.26"}.Collector())
	o := options()
	o.Gatherer = registry
	c := start(t, o, loopback(t))
	line := `holdfast_build_info{goversion="go1.26",revision="abc",version="v1.2.3"} 1`
	if status, body := ask(t, c, "GET", "/metrics", "localhost"); status != 200 || !strings.Contains(body, line+"\n") {
		t.Errorf("text: %d %s", status, body)
	}
	_, body := ask(t, c, "GET", "/metrics", "localhost", "Accept", "application/openmetrics-text; version=1.0.0")
	if !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("OpenMetrics was not negotiated: %s", body)
	}
}

func TestPprof(t *testing.T) {
	if status, _ := ask(t, start(t, options(), loopback(t)), "GET", "/debug/pprof/", "localhost"); status != 404 {
		t.Errorf("served without being switched on: %d", status)
	}
	o := options()
	o.Pprof = true
	c := start(t, o, loopback(t))
	if status, body := ask(t, c, "GET", "/debug/pprof/", "localhost"); status != 200 || !strings.Contains(body, "goroutine") {
		t.Errorf("index: %d", status)
	}
	if status, _ := ask(t, c, "GET", "/debug/pprof/goroutine?debug=1", "localhost"); status != 200 {
		t.Errorf("goroutine: %d", status)
	}
	if status, _ := ask(t, c, "GET", "/debug/pprof/cmdline", "localhost"); status != 404 {
		t.Errorf("the command line is shown: %d", status)
	}
	t.Log("one profile at a time")
	first := make(chan int, 1)
	go func() {
		status := 503 // also the answer while a trace of the other side runs
		for status == 503 {
			res, err := c.Get("http://localhost/debug/pprof/profile?seconds=1")
			if err != nil {
				t.Error(err)
				break
			}
			status = res.StatusCode
			res.Body.Close()
		}
		first <- status
	}()
	for second := 200; second == 200; {
		second, _ = ask(t, c, "GET", "/debug/pprof/trace?seconds=0.01", "localhost")
		if second != 200 && second != 503 {
			t.Errorf("second: %d", second)
		}
		if len(first) > 0 {
			t.Fatal("the first profile never held the second up")
		}
	}
	if status := <-first; status != 200 {
		t.Errorf("first: %d", status)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	t.Log("a socket in use is left alone")
	if _, err := Listen("unix", path); err == nil || !strings.Contains(err.Error(), "another process listens on it") {
		t.Errorf("second listener: %v", err)
	}

	t.Log("one that a killed process left behind is replaced")
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	l, err = Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays after Close: %v", err)
	}

	t.Log("a file of another kind is left alone")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix", path); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("file: %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Error("the file was changed")
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	inner := loopback(t)
	l := bounded(inner, 2)
	var held []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	third := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		third <- c
	}()
	held[0].Close()
	held[0].Close() // a second Close frees no second place
	if c := <-third; c == nil {
		t.Fatal("no third connection after one was closed")
	}
	if n := len(l.(*boundedListener).slots); n != 2 {
		t.Errorf("%d places taken, want 2", n)
	}
	t.Log("Close wakes an Accept that waits for a place")
	failed := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		failed <- err
	}()
	l.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}

func TestBuildInfoHasNoEmptyField(t *testing.T) {
	for _, version := range []string{"", "v9.9.9"} {
		b := ReadBuildInfo(version)
		if b.Version == "" || b.Revision == "" || b.GoVersion == "" || version != "" && b.Version != version {
			t.Errorf("%+v", b)
		}
	}
}

func FuzzHostName(f *testing.F) {
	for _, h := range []string{"", "localhost", "localhost:80", "[::1]", "[::1]:80", ":80", "a:b:c"} {
		f.Add(h)
	}
	g := newGuard([]string{"localhost"}, "")
	f.Fuzz(func(t *testing.T, host string) {
		// Only the name itself, with or without something after one colon, passes.
		if g.hosts[hostName(host)] && !strings.EqualFold(host, "localhost") && !strings.HasPrefix(strings.ToLower(host), "localhost:") {
			t.Fatalf("%q passed", host)
		}
	})
}
