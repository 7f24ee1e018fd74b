package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is the longest that a server may take to answer: far above what it needs.
const patience = 20 * time.Second

// Server is a redis-server of the test's. One goroutine.
type Server struct {
	Port int // on 127.0.0.1; the same after Kill and Run

	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	// ended is closed when the process has ended.
	ended <-chan struct{}
	out   *os.File
}

// Start starts a server that keeps what it acknowledged: every command is on its disk
// before the answer. args come behind its own and win over them.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("this test needs a real Redis (apt-get install redis-server): %v", err)
	}
	s := &Server{t: t, dir: t.TempDir(), args: args}
	var err error
	if s.out, err = os.Create(filepath.Join(s.dir, "output")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		s.out.Close()
	})
	// Another process may have taken the port meanwhile, and would answer.
	for range 5 {
		if s.Port = freePort(t); s.run() {
			return s
		}
	}
	words, _ := os.ReadFile(s.out.Name())
	t.Fatalf("redis-server does not start:\n%s", words)
	return nil
}

// Run starts the server, after Kill with what it kept.
func (s *Server) Run() {
	s.t.Helper()
	if !s.run() {
		s.t.Fatalf("redis-server on port %d ended at once; its words are in %s", s.Port, s.out.Name())
	}
}

// run is false when the server ended at once.
func (s *Server) run() bool {
	s.t.Helper()
	args := append([]string{
		"--port", fmt.Sprint(s.Port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always",
		"--repl-diskless-sync-delay", "0",
	}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(ended)
	}(s.cmd)
	self := fmt.Sprintf("process_id:%d\r\n", s.PID())
	over := false
	waitFor(s.t, "redis-server answers", func() bool {
		select {
		case <-ended:
			over = true
		default:
		}
		return over || s.Try("PING") == nil && strings.Contains(s.Text("INFO", "server"), self)
	})
	if over {
		s.cmd = nil
	}
	return !over
}

// Kill ends the server as a crash would.
func (s *Server) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	s.cmd = nil
}

// Forget removes what a killed server kept.
func (s *Server) Forget() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "appendonlydir")); err != nil {
		s.t.Fatal(err)
	}
}

// Signal sends the process a signal.
func (s *Server) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// PID is the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Addr is host:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// URL is redis.url.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Do sends a command on a connection of its own; an error ends the test.
func (s *Server) Do(words ...string) {
	s.t.Helper()
	if err := s.Try(words...); err != nil {
		s.t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
}

// Try is Do with the error.
func (s *Server) Try(words ...string) error {
	_, err := s.ask(words)
	return err
}

// Text sends a command that is answered with a text; "" when there is no answer.
func (s *Server) Text(words ...string) string {
	text, _ := s.ask(words)
	return text
}

// ask sends a command and reads its answer: a bulk string whole, of anything else the
// first line.
func (s *Server) ask(words []string) (string, error) {
	c, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(c, "$%d\r\n%s\r\n", len(w), w)
	}
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	if fault, ok := strings.CutPrefix(line, "-"); ok {
		return "", errors.New(fault)
	}
	size, ok := strings.CutPrefix(line, "$")
	if !ok {
		return line, nil
	}
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 {
		return "", err
	}
	text := make([]byte, n)
	_, err = io.ReadFull(r, text)
	return string(text), err
}
