package main

import (
	"fmt"
	"io"
)

// print writes a table for each part that was measured.
func (r *clusterResult) print(out io.Writer) {
	fmt.Fprintf(out, "two nodes of %s, one Redis %s\n", r.Server, r.Redis)
	for _, table := range []func() [][]string{r.Delivery.table, r.Rate.table, r.Memory.table, r.Cut.table, r.Stall.table} {
		if t := table(); t != nil {
			fmt.Fprintln(out)
			printTable(out, t)
		}
	}
	if s := r.Stall; s != nil {
		fmt.Fprintf(out, "an event for everybody %.0f ms after Redis goes on\n", s.BackMS)
	}
	fmt.Fprintln(out)
}

// figureText is a number with its thousands apart.
func figureText(v float64, digits int) string { return row{digits: digits}.format(v) }

func (d *deliveryResult) table() [][]string {
	if d == nil {
		return nil
	}
	t := [][]string{{"publish to reception, µs", "p50", "p90", "p99", "largest", "events"}}
	add := func(name string, l latencies) {
		line := []string{name}
		for _, ms := range []float64{l.P50, l.P90, l.P99, l.Max} {
			line = append(line, figureText(1e3*ms, 0))
		}
		t = append(t, append(line, figureText(float64(l.Receptions), 0)))
	}
	beside := fmt.Sprintf(", %g events/s beside", d.Rate)
	add("from one node to the other", d.Quiet.Across)
	add("PUBLISH to a bare SUBSCRIBE", d.Quiet.Bare)
	add("on a node without Redis", d.Quiet.Alone)
	add("from one node to the other"+beside, d.Loaded.Across)
	add("PUBLISH to a bare SUBSCRIBE"+beside, d.Loaded.Bare)
	add("on a node without Redis"+beside, d.Loaded.Alone)
	add(fmt.Sprintf("those beside, %.0f/s: from one node to the other", d.Achieved.Across), d.Beside.Across)
	add(fmt.Sprintf("those beside, %.0f/s: on a node without Redis", d.Achieved.Alone), d.Beside.Alone)
	return t
}

func (r *rateResult) table() [][]string {
	if r == nil {
		return nil
	}
	t := [][]string{{"publishes by one Redis", "events/s", "events a Redis CPU s", "Redis busy", "holdfast over it"}}
	add := func(name string, one rateRun, ratio string) {
		t = append(t, []string{name, figureText(one.PerSecond, 0), figureText(one.PerCPU, 0), fmt.Sprintf("%.0f %%", 100*one.Share), ratio})
	}
	add("a node, one event a publish", r.One.Holdfast, "")
	add(fmt.Sprintf("redis-benchmark -c %d -P 1", r.Clients), r.One.Benchmark, fmt.Sprintf("%.2f ×", r.One.Ratio))
	add(fmt.Sprintf("a node, %d channels a publish", rateChannels), r.Several.Holdfast, "")
	add(fmt.Sprintf("redis-benchmark -c %d -P %d", r.Clients, ratePipeline), r.Several.Benchmark, fmt.Sprintf("%.2f ×", r.Several.Ratio))
	return t
}

func (h *holdingResult) table() [][]string {
	if h == nil {
		return nil
	}
	return [][]string{
		{"held by Redis", "bytes"},
		{fmt.Sprintf("a followed channel with history, name of %d bytes", h.NameBytes), figureText(h.Followed, 0)},
		{fmt.Sprintf("a bare subscription, name of %d bytes", h.RedisName), figureText(h.Subscribed, 0)},
		{fmt.Sprintf("a kept event of %d bytes", h.EventBytes), figureText(h.Event, 0)},
	}
}

func (c *cutResult) table() [][]string {
	if c == nil {
		return nil
	}
	t := [][]string{{fmt.Sprintf("one event on each of %d channels, ms", c.Channels), "first", "median", "p99", "all"}}
	add := func(name string, a arrivals) {
		t = append(t, []string{name, figureText(a.First, 1), figureText(a.Median, 0), figureText(a.P99, 0), figureText(a.Last, 0)})
	}
	add("without a cut", c.Uncut)
	add("after the node's connection was cut", c.Cut)
	return append(t, []string{"subscriptions after a cut, without events", "", "", "", figureText(c.Again, 0)})
}

func (s *stallResult) table() [][]string {
	if s == nil {
		return nil
	}
	t := [][]string{{fmt.Sprintf("%g publishes/s, %d idle sockets, ms", s.Rate, s.Idle), "loop lag p99", "longest", "ping p50", "ping p99", "refused", "503 after"}}
	add := func(name string, p stallPhase) {
		t = append(t, []string{name, fmt.Sprintf("≤ %g", p.Lag.P99), fmt.Sprintf("≤ %g", p.Lag.Max), figureText(p.Pings.P50, 2), figureText(p.Pings.P99, 2),
			figureText(float64(p.Refused), 0), figureText(p.Answers.P99, 0)})
	}
	add("before", s.Before)
	add(fmt.Sprintf("Redis stands still for %g s", s.Seconds), s.During)
	return t
}
