package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/bench"
	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

func TestMain(m *testing.M) { os.Exit(hftest.Main(m)) }

// edge is a real server that takes connects as fast as they come.
func edge(t *testing.T) *hftest.Edge {
	return hftest.Start(t, hftest.Options{Flags: []string{"--set", "admission.accept_rate=1000000", "--set", "admission.half_open_per_ip=0"}})
}

// load runs holdfast bench against the server, and returns its exit code, what it
// printed, and its JSON.
func load(t *testing.T, e *hftest.Edge, args ...string) (code int, table string, r bench.Result) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "result.json")
	cmd := exec.Command(hftest.Program(), append(append([]string{"bench"}, args...), "--url=ws://"+e.Addr, "--json="+file, "--grace=5s")...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return cmd.ProcessState.ExitCode(), out.String(), r
}

func TestConnect(t *testing.T) {
	t.Parallel()
	e := edge(t)
	for name, c := range map[string]struct {
		args     []string
		n        int64
		received int64 // of the broadcast
	}{
		"one channel":            {[]string{"-n", "1000", "--broadcast-after-hold"}, 1000, 1000},
		"no channel":             {[]string{"-n", "200", "--channels=0"}, 200, 0},
		"a rate":                 {[]string{"-n", "200", "--rate=1000"}, 200, 0},
		"private, two processes": {[]string{"-n", "501", "--processes=2", "--threads=2", "--channels=7", "--channel-prefix=private-b-", "--broadcast-after-hold"}, 501, 501},
		"more channels":          {[]string{"-n", "100", "--channels=250", "--processes=2", "--broadcast-after-hold"}, 100, 250},
		"many addresses":         {[]string{"-n", "300", "--source-addresses=5"}, 300, 0},
	} {
		t.Run(name, func(t *testing.T) {
			code, table, r := load(t, e, append([]string{"connect", "--hold=100ms"}, c.args...)...)
			round := r.Connections.Rounds[0]
			if code != 0 || round.Subscribed != c.n || r.Connections.AtEnd != c.n || round.Subscribe.Count != uint64(c.n) || round.Subscribe.Max <= 0 {
				t.Errorf("exit code %d: %+v\n%s", code, r.Connections, table)
			}
			if c.received > 0 && (r.Events == nil || r.Events.Received != c.received || r.Events.Expected != c.received || r.Events.LastAfter <= 0) {
				t.Errorf("%+v", r.Events)
			}
			if name == "a rate" && (round.Seconds < 0.19 || round.Seconds > 5) {
				t.Errorf("200 connects at 1,000 a second took %v s", round.Seconds)
			}
			if r.Machine.Kernel == "" || r.Machine.CPUs == 0 || r.Machine.Go == "" || r.Memory.Connections != c.n || r.Parameters.Connections != int(c.n) {
				t.Errorf("%+v %+v", r.Machine, r.Memory)
			}
			if !strings.Contains(table, "everything connected, nothing lost") {
				t.Error(table)
			}
		})
	}
}

func TestFanout(t *testing.T) {
	code, table, r := load(t, edge(t), "fanout", "-n", "600", "--channels=6", "--processes=2", "--rate=300", "--duration=1s", "--size=500")
	if e := r.Events; code != 0 || e.Published != 300 || e.Received != 30_000 || e.Expected != 30_000 || e.Lost != 0 || e.Delivery.Count != 30_000 || e.Answer.Count != 300 {
		t.Errorf("exit code %d: %+v\n%s", code, r.Events, table)
	}
}

func TestStorm(t *testing.T) {
	code, table, r := load(t, edge(t), "storm", "-n", "1000", "--concurrency=500", "--rounds=3", "--processes=2")
	if len(r.Connections.Rounds) != 3 || code != 0 {
		t.Fatalf("exit code %d: %+v\n%s", code, r.Connections, table)
	}
	for i, one := range r.Connections.Rounds {
		if one.Subscribed != 1000 || one.Subscribe.Count != 1000 || one.PerSecond <= 0 {
			t.Errorf("round %d: %+v", i+1, one)
		}
	}
}

func TestMixed(t *testing.T) {
	t.Parallel()
	e := edge(t)
	code, table, r := load(t, e, "mixed", "-n", "400", "--channels=20", "--rate=200", "--duration=2s", "--stay=1s", "--processes=2", "--idle-share=50", "--churn-share=30")
	if r.Connections.ChurnCycles < 30 || r.Connections.Dropped != 0 || code != 0 {
		t.Errorf("exit code %d: %+v\n%s", code, r.Connections, table)
	}
	// Those that stay, 80 on 20 channels, get all; of the rest something is expected too.
	if e := r.Events; e.Published != 400 || e.Received <= 400*4 || e.Received != e.Expected || e.Lost+e.Duplicate+e.Disordered != 0 {
		t.Errorf("%+v", e)
	}
}

// A server that dies is told of: connections dropped, exit code 1.
func TestServerDies(t *testing.T) {
	e := edge(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := bench.Default(bench.Connect)
	p.URL, p.Connections = "ws://"+e.Addr, 100
	p.Hold = time.Minute
	result := make(chan *bench.Result, 1)
	go func() {
		r, _ := bench.Run(ctx, p, bench.Host{})
		result <- r
	}()
	wait(t, "100 subscriptions", func() bool { return subscribed(e, 100) })
	e.Signal(syscall.SIGKILL)
	e.Wait()
	e.Run() // so that the harness has a server to end; nobody comes back to it
	wait(t, "the client to notice", func() bool { return subscribed(e, 0) })
	cancel()
	r := <-result
	if r.Connections.Dropped != 100 || r.Connections.AtEnd != 0 || r.ExitCode != 1 {
		t.Errorf("%+v", r.Connections)
	}
}

// SIGINT ends a run of several processes with the result so far; with a status file
// the program then stays, connections and all, until it is killed.
func TestInterruptAndStatusFile(t *testing.T) {
	t.Parallel()
	e := edge(t)
	dir := t.TempDir()
	status := filepath.Join(dir, "status")
	cmd := exec.Command(hftest.Program(), "bench", "connect", "-n", "200", "--url=ws://"+e.Addr, "--processes=2", "--hold=1h", "--json=-", "--quiet", "--status-file="+status)
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // the further process ends with it
	wait(t, "200 subscriptions", func() bool { return subscribed(e, 200) })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	wait(t, "the status file", func() bool { text, _ := os.ReadFile(status); return string(text) == "0\n" })
	if !subscribed(e, 200) {
		t.Error("the connections are gone before the program was killed")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	var r bench.Result
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil || !r.Interrupted || r.Connections.AtEnd != 200 {
		t.Errorf("%v: %s", err, out.String())
	}
	wait(t, "the further process to end", func() bool { return subscribed(e, 0) })
}

// subscribed says whether the server has n live subscriptions to public channels.
func subscribed(e *hftest.Edge, n int) bool {
	return strings.Contains(e.Metrics(), fmt.Sprintf("holdfast_subscriptions{type=\"public\"} %d\n", n))
}

func wait(t *testing.T, what string, over func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hftest.Patience); !over(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no sign of %s", what)
		}
	}
}

// A further process that cannot do its share makes the run fail with what it said,
// also when it ends before its job is written: a job of 20,000 source addresses is
// larger than a pipe.
func TestFurtherProcessFails(t *testing.T) {
	e := edge(t)
	for _, sources := range []string{"auto", "20000"} {
		p := bench.Default(bench.Connect)
		p.URL, p.Connections, p.Processes, p.SourceAddresses = "ws://"+e.Addr, 10, 2, sources
		r, err := bench.Run(t.Context(), p, bench.Host{Program: []string{"/bin/sh", "-c", "echo no room here >&2; exit 3"}})
		if !errors.Is(err, bench.ErrChild) || !strings.Contains(err.Error(), "no room here") || r == nil || r.ExitCode != 1 {
			t.Errorf("%s sources: %v", sources, err)
		}
	}
}
