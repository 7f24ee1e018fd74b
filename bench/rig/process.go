package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startTimeout = 15 * time.Second // from exec to the first answer
	stopTimeout  = 15 * time.Second // from SIGTERM to exit; then SIGKILL
	readyPause   = 20 * time.Millisecond
	tick         = 10 * time.Millisecond // of the CPU times in /proc: USER_HZ is 100 on every Linux
	logTailBytes = 1500                  // of a server's output, shown when it fails
	configName   = "holdfast.toml"       // in the directory that the server runs in
)

// server is one running server process. Owned by the main goroutine but for exited.
type server struct {
	target target
	cmd    *exec.Cmd
	pid    int
	port   int // of 127.0.0.1
	admin  int // of 127.0.0.1
	dir    string
	exited chan struct{} // closed once the process was collected
}

// startServer runs a fresh process of t on one CPU and waits until it answers. stop must be called on what it returns.
func startServer(ctx context.Context, t target, cpu, clientCPU int) (*server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "holdfast-rig-")
	if err != nil {
		return nil, err
	}
	s := &server{target: t, port: ports[0], admin: ports[1], dir: dir, exited: make(chan struct{})}
	if err := s.start(cpu, clientCPU); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}
	if err := s.ready(ctx); err != nil {
		err = fmt.Errorf("%s is not ready: %w\n%s", t.name, err, s.output())
		s.stop()
		return nil, err
	}
	return s, nil
}

// start executes the server's command on one CPU; its output goes to a file in dir.
func (s *server) start(cpu, clientCPU int) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "output"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	if s.target.config != "" {
		if err := os.WriteFile(filepath.Join(s.dir, configName), []byte(s.target.config), 0o644); err != nil {
			return err
		}
	}
	args := s.target.arguments(s.port, s.admin, filepath.Join(s.dir, "data"))
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = log, log, s.dir
	s.cmd.Env = cleanEnvironment(os.Environ())
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// The child inherits the affinity of this thread, as under taskset; its GOMAXPROCS follows from that.
	if err := setAffinity(cpu); err != nil {
		return err
	}
	err = s.cmd.Start()
	if back := setAffinity(clientCPU); err == nil {
		err = back
	}
	if err != nil {
		return err
	}
	s.pid = s.cmd.Process.Pid
	cmd, exited := s.cmd, s.exited
	go func() { cmd.Wait(); close(exited) }()
	return nil
}

// restart ends the process as an operator would, and starts it anew with the data that it left, at the same address.
func (s *server) restart(ctx context.Context, cpu, clientCPU int) error {
	s.end()
	s.exited = make(chan struct{})
	if err := s.start(cpu, clientCPU); err != nil {
		close(s.exited)
		return fmt.Errorf("start %s again: %w", s.target.name, err)
	}
	if err := s.ready(ctx); err != nil {
		return fmt.Errorf("%s is not ready again: %w", s.target.name, err)
	}
	return nil
}

// ready polls the port, and for Pusher servers /up, until it answers.
func (s *server) ready(ctx context.Context) error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := s.probe()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer in %v: %w", startTimeout, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.exited:
			return fmt.Errorf("it exited: %v", s.cmd.ProcessState)
		case <-time.After(readyPause):
		}
	}
}

func (s *server) probe() error {
	// Another source address than 127.0.0.1: the kernel may otherwise pick the wanted port itself and connect to nobody.
	d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := d.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		return err
	}
	defer c.Close()
	if !s.target.pusher {
		return nil
	}
	c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(c, "GET /up HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", s.port)
	b := make([]byte, 64)
	n, err := c.Read(b)
	if n > 0 && strings.HasPrefix(string(b[:n]), "HTTP/1.1 200") {
		return nil
	}
	return fmt.Errorf("GET /up: %q, %v", b[:n], err)
}

// stop ends the process by its id and removes its files. It may be called twice.
func (s *server) stop() {
	s.end()
	os.RemoveAll(s.dir)
}

func (s *server) end() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		s.cmd.Process.Kill()
		<-s.exited
	}
}

// output is the end of what the server printed.
func (s *server) output() string {
	b := readText(filepath.Join(s.dir, "output"))
	if len(b) > logTailBytes {
		b = "…" + b[len(b)-logTailBytes:]
	}
	return b
}

// cpu is the processor time that the server has used, threads that ended included: utime + stime of /proc/PID/stat
// before the kernel rounds them to ticks. Unit: nanoseconds.
func (s *server) cpu() (int64, error) {
	// clock_getcpuclockid(3): the complement of the process id, three bits for the clock, 2 = time on the CPU.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^s.pid<<3|2), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of %s: %w", s.target.name, err)
	}
	return ts.Nano(), nil
}

// ticks is utime + stime of /proc/PID/stat. Unit: nanoseconds, in steps of 10 ms.
func (s *server) ticks() (int64, error) {
	return parseTicks(readText(fmt.Sprintf("/proc/%d/stat", s.pid)))
}

func parseTicks(stat string) (int64, error) {
	_, rest, _ := cutLast(stat, ")") // the command name may hold blanks and brackets
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat: %q", stat)
	}
	utime, err1 := strconv.ParseInt(f[11], 10, 64)
	stime, err2 := strconv.ParseInt(f[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/PID/stat: %q", stat)
	}
	return (utime + stime) * int64(tick), nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// memory is what a process holds. Unit: bytes.
type memory struct{ rss, anon, pss int64 }

func (s *server) memory() (memory, error) {
	var m memory
	var err error
	if m.rss, err = kilobytes(readText(fmt.Sprintf("/proc/%d/status", s.pid)), "VmRSS:"); err != nil {
		return m, err
	}
	if m.anon, err = kilobytes(readText(fmt.Sprintf("/proc/%d/status", s.pid)), "RssAnon:"); err != nil {
		return m, err
	}
	m.pss, err = kilobytes(readText(fmt.Sprintf("/proc/%d/smaps_rollup", s.pid)), "Pss:")
	return m, err
}

// forgetPeak makes the process's peak resident size its present one.
func (s *server) forgetPeak() error {
	// proc(5): 5 resets VmHWM.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset VmHWM: %w", err)
	}
	return nil
}

// peak is the largest resident size since forgetPeak. Unit: bytes.
func (s *server) peak() (int64, error) {
	return kilobytes(readText(fmt.Sprintf("/proc/%d/status", s.pid)), "VmHWM:")
}

// kilobytes finds "Name:   123 kB" in a /proc file and returns bytes.
func kilobytes(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			var kb int64
			if _, err := fmt.Sscanf(rest, "%d kB", &kb); err != nil {
				return 0, fmt.Errorf("%s %q: %w", name, rest, err)
			}
			return kb * 1024, nil
		}
	}
	return 0, fmt.Errorf("no %s in /proc", name)
}

// freePorts returns ports of 127.0.0.1 that were free a moment ago.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until the last is known, so that no port comes twice
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// cleanEnvironment leaves out what would configure a server behind the rig's back.
func cleanEnvironment(env []string) []string {
	var out []string
	for _, e := range env {
		switch name, _, _ := strings.Cut(e, "="); {
		case strings.HasPrefix(name, "HOLDFAST_"), strings.HasPrefix(name, "REVERB_"),
			name == "GOMAXPROCS", name == "GOGC", name == "GOMEMLIMIT", name == "GODEBUG":
		default:
			out = append(out, e)
		}
	}
	return out
}
