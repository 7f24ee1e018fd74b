package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// common are the flags that every command has.
type common struct {
	root      string // module root: where go build runs and bench/floor/floor.c lies
	holdfast  string // "" builds ./cmd/holdfast afresh, so that no old binary is measured by mistake
	compare   named  // further servers, measured in turn with the others
	against   string // a git revision whose holdfast is one of them; "": none
	commit    string // what against stands for, once check has found it
	serverCPU int    // -1: the highest allowed CPU
	clientCPU int    // -1: the lowest allowed CPU that is not the server's
	wait      string // how the client waits for input: see waitMode
}

// named collects repeated -compare name=command flags, in order.
type named []struct{ name, command string }

func (n *named) String() string { return "" }

func (n *named) Set(v string) error {
	name, command, ok := strings.Cut(v, "=")
	if !ok || name == "" || strings.TrimSpace(command) == "" {
		return fmt.Errorf("want name=command, have %q", v)
	}
	if slices.Contains([]string{"floor", "holdfast", before}, name) || slices.ContainsFunc(*n, func(e struct{ name, command string }) bool { return e.name == name }) {
		return fmt.Errorf("the name %q is taken", name)
	}
	*n = append(*n, struct{ name, command string }{name, command})
	return nil
}

func (c *common) register(fs *flag.FlagSet) {
	fs.StringVar(&c.root, "root", "", "module root (default: found upwards from the working directory)")
	fs.StringVar(&c.holdfast, "holdfast", "", "holdfast binary to measure (default: built from ./cmd/holdfast)")
	fs.Var(&c.compare, "compare", "`name=command` of a further server, repeatable: a holdfast binary, or a command line with {port}, {listen}, {admin}, {data}")
	fs.StringVar(&c.against, "against", "", "git `revision` (HEAD~1, a branch, a commit) that is built in a worktree of its own and measured beside, as the server \"before\"")
	fs.IntVar(&c.serverCPU, "server-cpu", -1, "CPU of the servers (default: the highest)")
	fs.IntVar(&c.clientCPU, "client-cpu", -1, "CPU of the client (default: the lowest other one)")
	fs.StringVar(&c.wait, "client", "spin", "how the client waits for input: spin, poll or block")
}

// check completes and validates the flags.
func (c *common) check() error {
	if _, err := parseWait(c.wait); err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	var err error
	if c.root == "" {
		if c.root, err = moduleRoot(); err != nil {
			return err
		}
	}
	if c.against != "" {
		if c.commit, err = resolve(c.root, c.against); err != nil {
			return fmt.Errorf("%w: -against: %w", errRefused, err)
		}
	}
	return nil
}

// moduleRoot is the first directory upwards from the working directory that holds the floor program.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "bench", "floor", "floor.c")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("%w: bench/floor/floor.c not found upwards from the working directory: run in the repository or give -root", errRefused)
}

// plan is how much "rig all" does.
type plan struct {
	common
	Runs        int           // kept runs of each row and server; one more pass goes first and is discarded
	MemoryRuns  int           // the same for the memory rows, which take a minute each
	Rows        []string      // names of the rows to measure
	Servers     []string      // names of the servers to measure; empty: all
	Settle      time.Duration // from the last connect to the reading of the resident size
	N1, N2      int           // connections of the two readings
	Handshakes  int           // connections of one wave of the handshake row
	Waves       int           // waves added up in one run
	Concurrency int           // handshakes under way at once
	Subscribers int           // of the rows with one message under way, and of the latency row
	Subscribers32,
	UnderWay int // of the row with many messages under way
	FrameBytes         int           // one message on the wire
	ServerCPU          time.Duration // a fan-out run goes on until the server has used this much: a 10 ms tick is then below 1 %
	Broadcasts         int           // measured broadcasts of one latency run
	PerSecond          int           // broadcasts a second
	HistorySubscribers int           // of the row that compares with and without history
	Publishing         int           // HTTP connections of the rows that count publishes
	PublishFor         time.Duration // of each of them
	Quick              bool
	Force              bool
	JSON               string `json:"-"` // directory for the result file; "" none
}

func defaultPlan() plan {
	return plan{
		Runs: 5, MemoryRuns: 5, Settle: 15 * time.Second, N1: 4000, N2: 18000, Handshakes: 18000, Waves: 4, Concurrency: 64,
		Subscribers: 10000, Subscribers32: 5000, UnderWay: 32, FrameBytes: 165, ServerCPU: 2 * time.Second, Broadcasts: 45, PerSecond: 3,
		HistorySubscribers: 1000, Publishing: 64, PublishFor: 5 * time.Second,
	}
}

func parsePlan(args []string, errOut io.Writer) (plan, error) {
	p := defaultPlan()
	fs := flag.NewFlagSet("rig all", flag.ContinueOnError)
	fs.SetOutput(errOut)
	p.register(fs)
	rows := fs.String("rows", "all", "comma-separated rows: "+strings.Join(rowNames(), ", ")+"; log stands for all of its rows")
	servers := fs.String("servers", "all", "comma-separated servers to measure: floor, holdfast and those of -compare")
	fs.IntVar(&p.Runs, "runs", p.Runs, "kept runs a row and server")
	fs.IntVar(&p.MemoryRuns, "memory-runs", p.MemoryRuns, "kept runs of the memory rows")
	fs.DurationVar(&p.Settle, "settle", p.Settle, "quiet time before a resident size is read")
	fs.DurationVar(&p.ServerCPU, "cpu", p.ServerCPU, "server CPU time of one fan-out run")
	fs.IntVar(&p.Concurrency, "concurrency", p.Concurrency, "handshakes under way at once")
	fs.BoolVar(&p.Quick, "quick", false, "smoke test: seconds instead of minutes, figures mean nothing")
	fs.BoolVar(&p.Force, "force", false, "measure on a busy machine too; the table says so")
	fs.StringVar(&p.JSON, "json", "", "write bench-<date>.json into this directory")
	if err := fs.Parse(args); err != nil {
		return p, fmt.Errorf("%w: %w", errRefused, err)
	}
	if fs.NArg() > 0 {
		return p, fmt.Errorf("%w: unexpected argument %q", errRefused, fs.Arg(0))
	}
	if err := p.check(); err != nil {
		return p, err
	}
	if *rows == "all" {
		p.Rows = rowNames()
		if p.Quick { // the log's benchmarks fill it first, which takes minutes
			p.Rows = slices.DeleteFunc(p.Rows, func(name string) bool { return slices.Contains(groups["log"], name) })
		}
	} else {
		p.Rows = expand(strings.Split(*rows, ","))
	}
	if *servers != "all" {
		p.Servers = strings.Split(*servers, ",")
	}
	for _, name := range p.Rows {
		if !slices.Contains(rowNames(), name) {
			return p, fmt.Errorf("%w: no row %q: have %s", errRefused, name, strings.Join(rowNames(), ", "))
		}
	}
	if p.Runs < 1 || p.MemoryRuns < 1 {
		return p, fmt.Errorf("%w: -runs and -memory-runs are at least 1", errRefused)
	}
	if p.Quick {
		p.Runs, p.MemoryRuns, p.Settle, p.N1, p.N2, p.Handshakes, p.Waves = 1, 1, time.Second, 500, 2000, 2000, 1
		p.Subscribers, p.Subscribers32, p.ServerCPU, p.Broadcasts = 1000, 500, 200*time.Millisecond, 6
		p.HistorySubscribers, p.PublishFor = 200, 500*time.Millisecond
	}
	return p, nil
}

// sockets is the largest number of client sockets that the plan opens at once.
func (p plan) sockets() int {
	return max(p.N2, p.Handshakes, p.Subscribers, p.Subscribers32) + p.UnderWay
}
