package main

import (
	"context"
	"fmt"
	"time"
)

// row is one line of the table.
type row struct {
	name, title, unit string
	digits            int // decimals in the table
	bar               bar
}

// bar is what holdfast must reach. At most one field is set; none: the figure is given and not judged.
type bar struct {
	atMost       float64 // holdfast's own figure
	atLeast      float64 // holdfast's own figure
	ratioAtMost  float64 // holdfast's figure over the floor's
	ratioAtLeast float64
}

func (b bar) String() string {
	switch {
	case b.atMost > 0:
		return fmt.Sprintf("≤ %g", b.atMost)
	case b.atLeast > 0:
		return fmt.Sprintf("≥ %.0f", b.atLeast)
	case b.ratioAtMost > 0:
		return fmt.Sprintf("≤ %.2f ×", b.ratioAtMost)
	case b.ratioAtLeast > 0:
		return fmt.Sprintf("≥ %.2f ×", b.ratioAtLeast)
	default:
		return "–"
	}
}

// relative tells whether the bar is one for the ratio to the floor.
func (b bar) relative() bool { return b.ratioAtMost > 0 || b.ratioAtLeast > 0 }

// any tells whether there is a bar at all.
func (b bar) any() bool { return b != bar{} }

// reached tells whether the figures keep the bar.
func (b bar) reached(holdfast, ratio float64) bool {
	switch {
	case b.atMost > 0:
		return holdfast <= b.atMost
	case b.ratioAtMost > 0:
		return ratio <= b.ratioAtMost
	default:
		return holdfast >= b.atLeast && ratio >= b.ratioAtLeast
	}
}

var rows = []row{
	{"memory", "resident bytes per subscribed connection", "B", 0, bar{atMost: 256}},
	{"channel", "resident bytes per one-subscriber channel, 32-byte name", "B", 0, bar{atMost: 320}},
	{"handshake", "CPU per handshake + subscribe", "µs", 2, bar{ratioAtMost: 1.35}},
	{"fanout1", "deliveries per CPU second, 1 message under way", "1/s", 0, bar{ratioAtLeast: 0.93}},
	{"fanout32", "deliveries per CPU second, 32 under way", "1/s", 0, bar{ratioAtLeast: 13.5}},
	{"latency", "broadcast p99, 3 a second", "ms", 2, bar{ratioAtMost: 1.1}},
	{"history", "CPU of a publish to 1,000 with history over without", "×", 3, bar{atMost: 1.10}},
	{"idle", "resident bytes more with history per idle connection", "B", 1, bar{atMost: idleNoise}},
	{"durable", "durable publishes over HTTP a second, 64 connections", "1/s", 0, bar{}},
	{"plain", "plain publishes over HTTP per CPU second, 64 connections", "1/s", 0, bar{atLeast: 40_000}},
	{"log-append", "log: durable appends, 1,000 channels, 1,024 publishers", "1/s", 0, bar{atLeast: 100_000}},
	{"log-cold", "log: replay of 100 of 1,000,000, from the page cache", "µs", 1, bar{atMost: 100}},
	{"log-hot", "log: replay of 100 of 1,000,000, hot", "µs", 1, bar{atMost: 10}},
	{"log-bolt", "raw bbolt, batches", "1/s", 0, bar{}},
}

// groups are names for several rows at once.
var groups = map[string][]string{
	"log": {"log-append", "log-cold", "log-hot", "log-bolt"},
}

// expand replaces the names of groups by those of their rows.
func expand(names []string) []string {
	var out []string
	for _, name := range names {
		if rows, ok := groups[name]; ok {
			out = append(out, rows...)
		} else {
			out = append(out, name)
		}
	}
	return out
}

func rowNames() []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.name)
	}
	return out
}

// sample is one run's figure for one row, with what helps to judge it.
type sample struct {
	Value  float64            `json:"value"`
	Detail map[string]float64 `json:"detail,omitempty"`
	Noise  noise              `json:"noise"` // during the run

	missing error // why there is no figure in this row alone; nil: there is one
}

// bench is what every experiment gets.
type bench struct {
	ctx  context.Context
	plan plan
	cpus cpus

	started func(*server) // called when a server answers; nil: nobody wants to know
}

// experiment measures one or more rows with fresh server processes.
type experiment struct {
	rows    []string
	runs    func(plan) int // kept runs
	measure func(b *bench, t target) (map[string]sample, error)
	only    func(t target) bool // the servers that have such figures; nil: all
}

var experiments = []experiment{
	{[]string{"memory", "channel"}, memoryRuns, measureMemory, nil},
	{[]string{"handshake"}, runs, measureHandshake, nil},
	{[]string{"fanout1"}, runs, measureFanout1, nil},
	{[]string{"fanout32"}, runs, measureFanout32, nil},
	{[]string{"latency"}, runs, measureLatency, nil},
	{[]string{"history"}, runs, measureHistory, target.ours},
	{[]string{"idle"}, memoryRuns, measureIdle, target.ours},
	{[]string{"durable", "plain"}, runs, measurePublishes, target.ours},
	{groups["log"], logRuns, measureLog, func(t target) bool { return t.name == "holdfast" }},
}

func runs(p plan) int { return p.Runs }

func memoryRuns(p plan) int { return p.MemoryRuns }

func logRuns(p plan) int { return min(p.Runs, maxLogRuns) }

// withCrowd runs work against a fresh server process, and ends everything afterwards.
func (b *bench) withCrowd(t target, work func(c *crowd) error) error {
	srv, err := startServer(b.ctx, t, b.cpus.server, b.cpus.client)
	if err != nil {
		return err
	}
	defer srv.stop()
	if b.started != nil {
		b.started(srv)
	}
	mode, err := parseWait(b.plan.wait)
	if err != nil {
		return err
	}
	c, err := newCrowd(b.ctx, srv, mode)
	if err != nil {
		return err
	}
	defer c.close() // before the server is stopped: it then has no connections to say goodbye to
	if err := work(c); err != nil {
		return fmt.Errorf("%w%s", err, b.lastWords(srv))
	}
	return nil
}

// lastWords is the server's output as an appendix to an error, if there is any.
func (b *bench) lastWords(srv *server) string {
	if out := srv.output(); out != "" {
		return "\noutput of " + srv.target.name + ": " + out
	}
	return ""
}

// used measures the server's CPU time over work. Unit of both: nanoseconds; ticks is the coarse figure of /proc/PID/stat.
func (s *server) used(work func() error) (cpu, ticks int64, err error) {
	cpu0, err := s.cpu()
	if err != nil {
		return 0, 0, err
	}
	ticks0, err := s.ticks()
	if err != nil {
		return 0, 0, err
	}
	if err := work(); err != nil {
		return 0, 0, err
	}
	cpu1, err := s.cpu()
	if err != nil {
		return 0, 0, err
	}
	ticks1, err := s.ticks()
	return cpu1 - cpu0, ticks1 - ticks0, err
}

func seconds(ns int64) float64 { return float64(ns) / float64(time.Second) }
