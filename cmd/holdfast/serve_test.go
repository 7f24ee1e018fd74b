package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
)

// fakeRuntime is a server whose every answer a test decides.
type fakeRuntime struct {
	startErr, reloadErr error
	stop                func(ctx context.Context) error
	stuck, busy         atomic.Bool
	started, stopped    atomic.Int32
	reloads             chan *config.Config
}

func (f *fakeRuntime) Start(context.Context) error { f.started.Add(1); return f.startErr }

func (f *fakeRuntime) Stop(ctx context.Context) error {
	f.stopped.Add(1)
	if f.stop != nil {
		return f.stop(ctx)
	}
	return nil
}

func (f *fakeRuntime) Reload(c *config.Config) error {
	if f.reloadErr != nil {
		return f.reloadErr
	}
	f.reloads <- c
	return nil
}

func (f *fakeRuntime) Live() error  { return when(&f.stuck, "a loop stands still") }
func (f *fakeRuntime) Ready() error { return when(&f.busy, "over memory") }

func when(b *atomic.Bool, text string) error {
	if b.Load() {
		return errors.New(text)
	}
	return nil
}

// serving is a running serve command.
type serving struct {
	*shell
	t    *testing.T
	fake *fakeRuntime
	code chan int
}

func startServe(t *testing.T, fake *fakeRuntime, args ...string) *serving {
	t.Helper()
	s := &serving{shell: newShell(t), t: t, fake: fake, code: make(chan int, 1)}
	fake.reloads = make(chan *config.Config, 8)
	s.newRuntime = func(d runtimeDeps) (Runtime, error) { return fake, nil }
	args = append([]string{"serve", "--admin-listen=127.0.0.1:0", "--set", "logging.format=json"}, args...)
	go func() { s.code <- s.shell.run(args...) }()
	return s
}

func (s *serving) want(code int) {
	s.t.Helper()
	select {
	case got := <-s.code:
		if got != code {
			s.t.Errorf("exit code %d, want %d:\n%s", got, code, s.stderr.String())
		}
	case <-time.After(10 * time.Second):
		s.t.Fatalf("serve does not end:\n%s", s.stderr.String())
	}
}

var adminAddress = regexp.MustCompile(`"admin listens","listener":"([^"]+)"`)

// admin asks the admin listener and returns the status and body.
func (s *serving) admin(path string) (int, string) {
	s.t.Helper()
	s.stderr.has(s.t, "admin listens")
	address := adminAddress.FindStringSubmatch(s.stderr.String())[1]
	res, err := http.Get("http://" + address + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(body))
}

func (s *serving) wantAdmin(path string, status int, body string) {
	s.t.Helper()
	if gotStatus, gotBody := s.admin(path); gotStatus != status || !strings.Contains(gotBody, body) {
		s.t.Errorf("%s: %d %q, want %d %q", path, gotStatus, gotBody, status, body)
	}
}

func TestServeLife(t *testing.T) {
	release := make(chan struct{})
	fake := &fakeRuntime{stop: func(context.Context) error { <-release; return nil }}
	s := startServe(t, fake, "--data-dir=state")
	s.stderr.has(t, `"msg":"holdfast serves","listener":"127.0.0.1:8080"`)

	t.Log("the directory is there and nobody else's")
	if info, err := os.Stat("state"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("data directory: %v %v", info, err)
	}
	t.Log("probes and metrics")
	s.wantAdmin("/livez", 200, "ok")
	s.wantAdmin("/readyz", 200, "ok")
	s.wantAdmin("/metrics", 200, "holdfast_build_info{")
	s.wantAdmin("/metrics", 200, "holdfast_config_reload_success_timestamp_seconds 1.")
	fake.stuck.Store(true)
	s.wantAdmin("/livez", 503, "a loop stands still")
	fake.busy.Store(true)
	s.wantAdmin("/readyz", 503, "over memory")

	t.Log("while it stops it is alive and not ready")
	s.shell.signals <- syscall.SIGTERM
	s.stderr.has(t, `"msg":"holdfast stops","reason":"terminated","limit":"10s"`)
	s.wantAdmin("/livez", 200, "ok")
	s.wantAdmin("/readyz", 503, "stopping")
	close(release)
	s.want(exitOK)
	if fake.started.Load() != 1 || fake.stopped.Load() != 1 {
		t.Errorf("started %d, stopped %d", fake.started.Load(), fake.stopped.Load())
	}
	s.stderr.has(t, `"msg":"holdfast stopped","code":0`)
	for line := range strings.Lines(s.stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	s := startServe(t, &fakeRuntime{stop: func(context.Context) error { <-block; return nil }})
	s.stderr.has(t, "holdfast serves")
	s.shell.signals <- syscall.SIGTERM
	s.stderr.has(t, "holdfast stops")
	s.shell.signals <- syscall.SIGHUP // says nothing now
	s.shell.signals <- syscall.SIGINT
	s.want(exitFailure)
	s.stderr.has(t, `"msg":"stopped at once by a second signal","reason":"interrupt"`)
}

func TestShutdownTimeout(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	s := startServe(t, &fakeRuntime{stop: func(context.Context) error { <-block; return nil }}, "--set", "server.shutdown_timeout=1s")
	s.stderr.has(t, "holdfast serves")
	begun := time.Now()
	s.shell.signals <- syscall.SIGTERM
	s.want(exitFailure)
	if took := time.Since(begun); took < 900*time.Millisecond || took > 3*time.Second {
		t.Errorf("took %s, limit 1 s", took)
	}
	s.stderr.has(t, `"err":"stopping the server: did not end in time"`)
	if n := strings.Count(s.stderr.String(), "a step did not stop"); n != 1 {
		t.Errorf("%d steps did not stop, want 1: the others had no time left\n%s", n, s.stderr.String())
	}
}

func TestServeThatDoesNotStart(t *testing.T) {
	fake := &fakeRuntime{startErr: errors.New("address in use")}
	s := startServe(t, fake)
	s.want(exitFailure)
	s.stderr.has(t, `"err":"starting the server: address in use"`)
	if fake.stopped.Load() != 0 {
		t.Error("a server that did not start was stopped")
	}

	t.Log("an admin address in use")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fake = &fakeRuntime{}
	s = startServe(t, fake, "--admin-listen="+l.Addr().String())
	s.want(exitFailure)
	s.stderr.has(t, "starting the admin listener: listen tcp "+l.Addr().String())
	if fake.started.Load() != 0 {
		t.Error("the server was started after an earlier step failed")
	}
}

func TestReloadBySignal(t *testing.T) {
	fake := &fakeRuntime{}
	path := filepath.Join(t.TempDir(), "h.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[limits]\nfragments = 5\n")
	s := startServe(t, fake, "--config", path)
	s.stderr.has(t, "holdfast serves")

	t.Log("a fault: the old configuration stays")
	write("[limits]\nfragments = 0\n")
	s.shell.signals <- syscall.SIGHUP
	s.stderr.has(t, "fragments = 0 is out of bounds")
	if len(fake.reloads) != 0 {
		t.Error("a faulty configuration was applied")
	}

	t.Log("a valid one: reloadable keys are applied, others are named")
	write("[limits]\nfragments = 6\n[server]\nloops = 9\nping_grace = \"20s\"\n[logging]\nlevel = \"debug\"\n")
	s.shell.signals <- syscall.SIGHUP
	c := <-fake.reloads
	if c.Limits.Fragments != 6 || c.Server.PingGrace != 20*time.Second || c.Server.Loops != 0 {
		t.Errorf("applied %+v", c)
	}
	s.stderr.has(t, `"msg":"changed keys that only a restart applies","knob":"server.loops"`)
	const reloadedAll = `"msg":"the configuration was reloaded","knob":"server.ping_grace, limits.fragments, logging.level"`
	s.stderr.has(t, reloadedAll)

	t.Log("a runtime that refuses: the next reload starts from the old values")
	fake.reloadErr = errors.New("no room")
	write("[limits]\nfragments = 7\n")
	s.shell.signals <- syscall.SIGHUP
	s.stderr.has(t, `"err":"no room"`)
	fake.reloadErr = nil
	s.shell.signals <- syscall.SIGHUP
	if c := <-fake.reloads; c.Limits.Fragments != 7 || c.Server.PingGrace != 15*time.Second {
		t.Errorf("applied %+v", c)
	}
	s.shell.signals <- syscall.SIGTERM
	s.want(exitOK)
	if n := strings.Count(s.stderr.String(), reloadedAll); n != 2 {
		t.Errorf("%d reloads changed the three keys, want 2:\n%s", n, s.stderr.String())
	}
}

// serviceManager is the receiving end of the notify protocol.
func serviceManager(t *testing.T) *buffer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	var got buffer
	go func() {
		p := make([]byte, 4096)
		for {
			n, err := conn.Read(p)
			if err != nil {
				return
			}
			got.Write(append(p[:n:n], '\n'))
		}
	}()
	return &got
}

func TestServiceManager(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "")
	os.Unsetenv("WATCHDOG_PID")
	told := serviceManager(t)
	fake := &fakeRuntime{}
	s := startServe(t, fake)
	told.has(t, "READY=1\n")
	told.has(t, "WATCHDOG=1\n")

	t.Log("a loop that stands still: no more food for the watchdog")
	fake.stuck.Store(true)
	count := func() int { return strings.Count(told.String(), "WATCHDOG=1") }
	quiet := false
	for range 100 { // one may be under way when the loop stops
		before := count()
		time.Sleep(50 * time.Millisecond) // five ticks
		if quiet = count() == before; quiet {
			break
		}
	}
	if !quiet {
		t.Error("the watchdog is fed while a loop stands still")
	}
	fake.stuck.Store(false)

	t.Log("reload and stop")
	before := strings.Count(told.String(), "READY=1")
	s.shell.signals <- syscall.SIGHUP
	told.has(t, "RELOADING=1\nMONOTONIC_USEC=")
	s.stderr.has(t, "the configuration was reloaded")
	s.shell.signals <- syscall.SIGTERM
	told.has(t, "STOPPING=1\n")
	s.want(exitOK)
	if after := strings.Count(told.String(), "READY=1"); after != before+1 {
		t.Errorf("READY %d times after a reload, was %d", after, before)
	}
}
