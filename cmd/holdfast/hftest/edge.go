package hftest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is the longest that anything may take in a test: far above what the
// server needs, so that only a hang meets it, even with the race detector.
const Patience = 20 * time.Second

// The application that a server without configuration has.
const (
	AppID     = "app-id"
	AppKey    = "app-key"
	AppSecret = "app-secret"
)

// Options says how the program is started.
type Options struct {
	// Config is the text of a holdfast.toml; "" starts without a file.
	Config string
	// Flags come after those that the harness sets, and win over them.
	Flags []string
	// Env is added to an environment without HOLDFAST_ and REVERB_ variables.
	Env []string
	// DataDir is the data directory; "" is one of the test's own.
	DataDir string
}

// Edge is one running `holdfast serve`.
type Edge struct {
	// Immutable after Start.
	Addr      string // host:port of the WebSocket and API listener
	AdminAddr string // host:port of the admin listener
	t         testing.TB
	dir       string
	opts      Options

	// Owned by the test's goroutine.
	cmd  *exec.Cmd
	exit chan error // receives the outcome of the process once

	log syncBuffer // both outputs of the process; any goroutine
}

// Start runs the program and waits until it answers. The test ends it.
func Start(t testing.TB, opts Options) *Edge {
	t.Helper()
	e := &Edge{t: t, dir: t.TempDir(), opts: opts, Addr: freeAddr(t), AdminAddr: freeAddr(t)}
	t.Cleanup(func() {
		if e.cmd != nil {
			e.Kill()
		}
		if t.Failed() {
			t.Logf("the server's last words:\n%s", e.Log())
		}
	})
	e.Run()
	return e
}

// Run starts the process, after Stop or Kill on the same ports again.
func (e *Edge) Run() {
	e.t.Helper()
	if err := e.TryRun(); err != nil {
		e.t.Fatalf("%v\n%s", err, e.Log())
	}
}

// TryRun is Run for a start that may fail. before is a command that runs the
// program, strace with its arguments for example; it must become the program and not
// its parent.
func (e *Edge) TryRun(before ...string) error {
	e.t.Helper()
	e.Launch(before...)
	return e.waitUp()
}

// Launch is TryRun without waiting until the server answers.
func (e *Edge) Launch(before ...string) {
	e.t.Helper()
	bin := os.Getenv(binEnv)
	if bin == "" {
		e.t.Fatal("the program is not built: TestMain must call hftest.Main")
	}
	args := append(before, bin, "serve", "--listen", e.Addr, "--admin-listen", e.AdminAddr, "--data-dir", e.DataDir())
	if e.opts.Config != "" {
		args = append(args, "--config", e.writeConfig())
	}
	args = append(args, e.opts.Flags...)
	e.cmd = exec.Command(args[0], args[1:]...)
	e.cmd.Dir = e.dir
	e.cmd.Env = append(append(cleanEnv(), "GORACE=halt_on_error=1"), e.opts.Env...)
	e.cmd.Stdout, e.cmd.Stderr = &e.log, &e.log
	// The server must not outlive a test binary that is killed.
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.exit = make(chan error, 1)
	go func(cmd *exec.Cmd, exit chan<- error) { exit <- cmd.Wait() }(e.cmd, e.exit)
}

// DataDir is where the server keeps its data.
func (e *Edge) DataDir() string {
	if e.opts.DataDir != "" {
		return e.opts.DataDir
	}
	return filepath.Join(e.dir, "data")
}

func (e *Edge) waitUp() error {
	deadline := time.Now().Add(Patience)
	for {
		resp, err := http.Get("http://" + e.Addr + "/up")
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case exit := <-e.exit:
			e.cmd = nil
			return fmt.Errorf("the server ended at its start: %w", exit)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server is not up: %w", err)
		}
	}
}

// Stop asks the process to stop and returns its exit code.
func (e *Edge) Stop() (exitCode int) {
	e.t.Helper()
	return e.end(syscall.SIGTERM)
}

// Kill ends the process without a word.
func (e *Edge) Kill() {
	e.t.Helper()
	e.end(syscall.SIGKILL)
}

func (e *Edge) end(sig syscall.Signal) int {
	e.t.Helper()
	if err := e.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		e.t.Fatal(err)
	}
	return e.Wait()
}

// Wait waits for the process to end by itself and returns its exit code.
func (e *Edge) Wait() (exitCode int) {
	e.t.Helper()
	select {
	case <-e.exit:
	case <-time.After(Patience):
		_ = e.cmd.Process.Kill()
		<-e.exit
		e.t.Errorf("the server did not end")
	}
	exitCode = e.cmd.ProcessState.ExitCode()
	e.cmd = nil
	return exitCode
}

// Signal sends the process a signal.
func (e *Edge) Signal(sig syscall.Signal) {
	e.t.Helper()
	if err := e.cmd.Process.Signal(sig); err != nil {
		e.t.Fatal(err)
	}
}

// Reload replaces the configuration, with which the server must have been started,
// and returns when the server has taken it over.
func (e *Edge) Reload(config string) {
	e.t.Helper()
	const taken, refused = "the configuration was reloaded", "the configuration was not reloaded"
	before := strings.Count(e.Log(), taken)
	e.opts.Config = config
	e.writeConfig()
	e.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(Patience); strings.Count(e.Log(), taken) == before; time.Sleep(time.Millisecond) {
		if strings.Contains(e.Log(), refused) || time.Now().After(deadline) {
			e.t.Fatalf("the configuration is not taken:\n%s", e.Log())
		}
	}
}

func (e *Edge) writeConfig() (file string) {
	e.t.Helper()
	file = filepath.Join(e.dir, "holdfast.toml")
	if err := os.WriteFile(file, []byte(e.opts.Config), 0o600); err != nil {
		e.t.Fatal(err)
	}
	return file
}

// PID is the process id of the running server.
func (e *Edge) PID() int { return e.cmd.Process.Pid }

// Log is what the process has written to its outputs, at most the last 64 KiB.
func (e *Edge) Log() string { return e.log.String() }

// Metrics fetches the admin listener's /metrics.
func (e *Edge) Metrics() string {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.AdminAddr+"/metrics", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		e.t.Fatalf("metrics: %s, %v\n%s", resp.Status, err, b)
	}
	return string(b)
}

// freeAddr is a loopback address whose port nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// cleanEnv is the environment without what would configure the server.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HOLDFAST_") && !strings.HasPrefix(v, "REVERB_") {
			env = append(env, v)
		}
	}
	return env
}

// syncBuffer keeps the end of what is written to it.
type syncBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	const keep = 64 << 10
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b, p...)
	if over := len(s.b) - keep; over > 0 {
		s.b = append(s.b[:0], s.b[over:]...)
	}
	return len(p), nil
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.b)
}
