package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	adminURL = "http://127.0.0.1:9090"
	// lookEvery is how often connections are counted, printEvery how often a sample is printed.
	lookEvery  = time.Second
	printEvery = 15 * time.Second
	// holdSlack is how much longer than the measurement the load holds its connections:
	// this side knows when all are connected a little later than the load does.
	holdSlack = 25 * time.Second
	startWait = time.Minute
	// perDestination bounds the connections to one address of the server: a third of
	// its ports, so that the kernel soon finds a free one.
	perDestination = 20_000
	// underWay is the handshakes at once. Many, so that a processor stays with one
	// side for long; below the accept queue of 20,000.
	underWay = 4096

	dataDir    = "/tmp/data"
	loadFile   = "/tmp/load.json"
	statusFile = "/tmp/load.exit"
)

// errGuest is a measurement that could not be carried through.
var errGuest = errors.New("the measurement did not come to its end")

// order is what to measure.
type order struct {
	Connections              int
	holdfast                 string
	settle, heartbeat, limit time.Duration
}

func defaultOrder() order {
	return order{Connections: 1_000_000, holdfast: "/bin/holdfast", settle: 20 * time.Second, heartbeat: 120 * time.Second, limit: 80 * time.Minute}
}

// period is how long the idle crowd is watched, the activity timeout and ping_grace: by
// then the wheel has looked at every connection, and every client has pinged once.
func (o *order) period() time.Duration { return o.heartbeat + 15*time.Second }

// serverFlags: holdfast's defaults, but for what protects it from a single host that
// connects as fast as it can. The demo credentials need --dev, since it listens on
// all of the loopback's addresses. Seconds may pass in an emulation between two
// packets of a handshake.
func (o *order) serverFlags() []string {
	return []string{"serve", "--dev", "--listen", "0.0.0.0:8080", "--data-dir", dataDir, "--set", "admission.accept_rate=1000000",
		"--set", "admission.half_open_per_ip=0", "--set", "limits.handshake_timeout=60s",
		"--set", fmt.Sprintf("server.activity_timeout=%.0fs", o.heartbeat.Seconds())}
}

func (o *order) clientFlags() []string {
	return []string{"bench", "connect", "-n", strconv.Itoa(o.Connections), "--destinations", strconv.Itoa((o.Connections + perDestination - 1) / perDestination),
		"--concurrency", strconv.Itoa(underWay), "--connect-timeout", "5m", "--hold", o.hold().String(), "--broadcast-after-hold", "--grace", "60s",
		"--status-file", statusFile, "--json", loadFile}
}

func (o *order) hold() time.Duration { return o.settle + o.period() + holdSlack }

// measurement is one under way.
type measurement struct {
	order
	out     io.Writer
	server  *child
	load    *child
	watcher watcher
}

// conduct measures, and prints records all along. The last one tells of a fault too.
func conduct(o order, out io.Writer) error {
	m := &measurement{order: o, out: out}
	end := ending{LoadExit: -1}
	err := m.measure(&end)
	if err != nil {
		end.Fault = err.Error()
	}
	if m.server != nil && m.server.alive() {
		end.ServerAlive = true
		end.Metrics, _ = readMetrics() // for whoever looks for a cause
	}
	return errors.Join(err, emit(out, record{Kind: "end", End: &end}))
}

func (m *measurement) measure(end *ending) error {
	if err := m.introduce(); err != nil {
		return err
	}
	if err := m.ask(); err != nil {
		return err
	}
	var err error
	if m.server, err = start(m.holdfast, m.serverFlags()); err != nil {
		return err
	}
	m.watcher.server = m.server.pid()
	if err := m.ready(); err != nil {
		return err
	}
	time.Sleep(m.settle / 4) // as the looks at the crowd, this one is at a server at rest
	if err := m.sample(labelBefore); err != nil {
		return err
	}
	if m.load, err = start(m.holdfast, m.clientFlags()); err != nil {
		return err
	}
	m.watcher.client = m.load.pid()
	if end.LoadExit, err = m.follow(); err != nil {
		return err
	}
	if err := m.sample(labelAfter); err != nil {
		return err
	}
	text, err := os.ReadFile(loadFile)
	if err != nil {
		return fmt.Errorf("%w: the load has no result: %v", errGuest, err)
	}
	var result bytes.Buffer
	if err := json.Compact(&result, text); err != nil {
		return fmt.Errorf("%w: the result of the load: %v", errGuest, err)
	}
	return emit(m.out, record{Kind: "load", Load: result.Bytes()})
}

// introduce prints what is measured and where.
func (m *measurement) introduce() error {
	g := guest{Connections: m.Connections, CPUs: runtime.NumCPU(), Server: m.serverFlags(), Client: m.clientFlags(), Hold: m.hold()}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	g.Kernel = unix.ByteSliceToString(u.Release[:])
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	g.CommandLine = strings.TrimSpace(string(line))
	build, err := buildinfo.ReadFile(m.holdfast)
	if err != nil {
		return err
	}
	g.Go = build.GoVersion
	return emit(m.out, record{Kind: "guest", Guest: &g})
}

// ask prints what doctor predicts for this guest, whatever its verdict.
func (m *measurement) ask() error {
	text, err := exec.Command(m.holdfast, "doctor", "--connections", strconv.Itoa(m.Connections), "--json").Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	var answer bytes.Buffer
	if err := json.Compact(&answer, text); err != nil {
		return fmt.Errorf("%w: holdfast doctor: %v", errGuest, err)
	}
	return emit(m.out, record{Kind: "doctor", Doctor: answer.Bytes()})
}

// ready returns when the server says that it is.
func (m *measurement) ready() error {
	// Nobody tells when a server is ready: it is asked again and again.
	for deadline := time.Now().Add(startWait); m.server.alive(); time.Sleep(lookEvery / 4) {
		if answer, err := http.Get(adminURL + "/readyz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				http.DefaultClient.CloseIdleConnections()
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: the server is not ready after %v", errGuest, startWait)
		}
	}
	return fmt.Errorf("%w: the server ended before it served", errGuest)
}

// sample prints a labelled sample.
func (m *measurement) sample(label string) error {
	s, err := m.watcher.look(label, time.Now())
	if err != nil {
		return err
	}
	return emit(m.out, record{Kind: "sample", Sample: s})
}

// follow looks on until the load has its result, and returns its exit code.
func (m *measurement) follow() (int, error) {
	begun := time.Now()
	var printed, full, opened time.Time
	idle := false
	for ; ; time.Sleep(lookEvery) { // between two looks: this side must cost the guest little
		if code, err := os.ReadFile(statusFile); err == nil {
			return strconv.Atoi(strings.TrimSpace(string(code)))
		}
		now := time.Now()
		switch {
		case !m.load.alive():
			return -1, fmt.Errorf("%w: the load ended: %v", errGuest, m.load.err)
		case !m.server.alive():
			return -1, fmt.Errorf("%w: the server ended: %v", errGuest, m.server.err)
		case now.Sub(begun) > m.limit:
			return -1, fmt.Errorf("%w: the load takes longer than %v", errGuest, m.limit)
		}
		s, err := m.watcher.look("", now)
		if err != nil {
			return -1, err
		}
		switch {
		case s.Connections < m.Connections && opened.IsZero():
			full = time.Time{}
		case full.IsZero():
			full = now
		case opened.IsZero() && now.Sub(full) >= m.settle:
			opened, err = now, m.sample(labelOpened)
		case !opened.IsZero() && !idle && now.Sub(opened) >= m.period():
			idle, err = true, m.sample(labelIdle)
		}
		// Once the broadcast may have begun every look counts: its peak is short.
		if err == nil && (idle || now.Sub(printed) >= printEvery) {
			printed, err = now, emit(m.out, record{Kind: "sample", Sample: s})
		}
		if err != nil {
			return -1, err
		}
	}
}

// readMetrics reads the server's metrics but for the buckets of histograms.
func readMetrics() (map[string]float64, error) {
	answer, err := http.Get(adminURL + "/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	metrics := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || name == "#" || strings.Contains(name, "_bucket{") {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil && v != 0 {
			metrics[name] = v
		}
	}
	return metrics, nil
}

// child is a process that was started here.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed once err is set
	err   error
}

// start runs a program whose output goes to the console.
func start(program string, args []string) (*child, error) {
	c := &child{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	// Through pipes: on a terminal the load would show its progress without ends of
	// lines, and records would not begin theirs.
	c.cmd.Stdout, c.cmd.Stderr = struct{ io.Writer }{os.Stdout}, struct{ io.Writer }{os.Stdout}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}
