package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	pauseBar     = 1.0 // ms: no stop of the world may be as long
	pauseFewest  = 3   // collections in a run, or it says nothing
	pauseGroup   = 10  // subscribers of each of the smaller channels
	pauseLoads   = 16  // connections on which each kind of event is published
	pauseSpare   = 600 // sockets beside the subscribers: publishers, noise, those who come and go
	pauseMixed   = 40  // client events a second
	pauseTraffic = 50  // connects a second
)

// pausesPlan is a mixed load, and the server's own account of its collections.
type pausesPlan struct {
	judged
	clients   int // subscribers: half of them on one channel, the others in groups of pauseGroup
	large     float64
	small     float64
	runs      int
	length    time.Duration
	eventSize int
}

// pausesRun is one fresh process.
type pausesRun struct {
	Collections int       `json:"collections"`
	Stops       int       `json:"stops"`
	P50         float64   `json:"p50_ms"`
	P99         float64   `json:"p99_ms"`
	Longest     float64   `json:"longest_ms"`
	Stopped     []float64 `json:"stops_ms"` // all, in order of time
	Starting    float64   `json:"longest_while_connecting_ms"`
	OtherStops  float64   `json:"stops_of_no_collection"`
	OtherLong   float64   `json:"stops_of_no_collection_above_0.92_ms"`
	Steal       float64   `json:"steal_percent"`
	Others      float64   `json:"others_percent"`
	CPU         float64   `json:"server_cpu_share"`
	Large       int       `json:"large_events"`
	Small       int       `json:"small_events"`
	Received    int       `json:"received"`
	CameAndWent int       `json:"came_and_went"`
	Relayed     int       `json:"client_events"`
	Holds       bool      `json:"holds"`
}

// pausesResult is all runs.
type pausesResult struct {
	Server  string      `json:"server"`
	Clients int         `json:"clients"`
	Source  string      `json:"source"`
	Runs    []pausesRun `json:"runs"`
}

func runPauses(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	var p pausesPlan
	fs := flag.NewFlagSet("rig pauses", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	p.sizeFlag(fs)
	fs.IntVar(&p.clients, "n", maxSockets-pauseSpare, "subscribers: half on one channel, the others in groups of ten")
	fs.Float64Var(&p.large, "large-rate", 3, "events a second on the large channel")
	fs.Float64Var(&p.small, "small-rate", 500, "events a second on the small channels together")
	fs.IntVar(&p.eventSize, "bytes", 512, "of one event on the wire")
	fs.IntVar(&p.runs, "runs", 10, "runs, each with a fresh process")
	fs.DurationVar(&p.length, "for", 20*time.Second, "time under load, in each run")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if p.quick {
		p.clients, p.runs, p.length = 1000, 1, 3*time.Second
	}
	if p.clients < 4*pauseGroup || p.large <= 0 || p.small <= 0 || p.eventSize < 165 || p.runs < 1 || p.length <= 0 || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -n is at least %d, -bytes at least 165, -runs at least 1, the rates and -for above 0, and nothing stands behind the flags", errRefused, 4*pauseGroup)
	}
	return p.session(ctx, "pauses", p.clients+pauseSpare, out, progress, nil,
		func(b *bench, ts []target) (any, []verdict, error) { return p.measure(b, ts[0], progress) })
}

// traced is the same server, which writes a line for every collection. The rig takes GODEBUG out of its own environment,
// so that it is set for this child alone, as more is.
func traced(t target, more ...string) target {
	t.command = slices.Concat([]string{"/usr/bin/env", "GODEBUG=gctrace=1"}, more, t.command)
	return t
}

func (p *pausesPlan) measure(b *bench, t target, progress io.Writer) (any, []verdict, error) {
	r := &pausesResult{Server: t.name, Clients: p.clients, Source: "gctrace"}
	for run := 1; run <= p.runs; run++ {
		one, err := p.one(b, traced(t))
		if err != nil {
			return nil, nil, fmt.Errorf("run %d: %w", run, err)
		}
		r.Runs = append(r.Runs, one)
		fmt.Fprintf(progress, "run %2d of %d: %d collections, longest stop %.3f ms, p99 %.3f ms; %.0f other stops, %.0f of them above 0.92 ms; server %.0f %% of its CPU; steal %.1f %%, others %.1f %%\n",
			run, p.runs, one.Collections, one.Longest, one.P99, one.OtherStops, one.OtherLong, 100*one.CPU, one.Steal, one.Others)
	}
	return r, r.judge(), nil
}

func (r *pausesResult) judge() []verdict {
	hold, said := 0, 0
	for _, one := range r.Runs {
		if one.Holds {
			hold++
		}
		if one.Collections >= pauseFewest {
			said++
		}
	}
	return []verdict{
		atLeast(fmt.Sprintf("runs of %d without a stop of %g ms", len(r.Runs), pauseBar), float64(hold), mostOf(len(r.Runs))),
		exactly(fmt.Sprintf("runs with at least %d collections", pauseFewest), float64(said), float64(len(r.Runs))),
	}
}

// one is one run with a fresh process.
func (p *pausesPlan) one(b *bench, t target) (r pausesRun, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		m := &mixture{plan: p, b: b, c: c}
		defer m.close()
		if err := m.gather(); err != nil {
			return err
		}
		before, err := collections(c.srv)
		if err != nil {
			return err
		}
		_, r.Starting = longest(before)
		scraped, err := c.srv.scrape(b.ctx)
		if err != nil {
			return err
		}
		times, began := readMachineTimes(), c.now()
		cpu, _, err := c.srv.used(m.play)
		if err != nil {
			return err
		}
		noise := disturbed(times, cpu)
		all, err := collections(c.srv)
		if err != nil {
			return err
		}
		now, err := c.srv.scrape(b.ctx)
		if err != nil {
			return err
		}
		if err := r.judge(all[len(before):], now, scraped); err != nil {
			return err
		}
		r.CPU, r.Steal, r.Others = float64(cpu)/float64(c.now()-began), noise.Steal, noise.Others
		r.Large, r.Small, r.Received = len(m.large.called), len(m.small.called), c.received+m.received
		r.CameAndWent, r.Relayed = m.traffic.opened, m.noise.relayed
		return nil
	})
	return r, err
}

// otherStops is a histogram of the stops that gctrace does not know, such as those of a change of GOMAXPROCS. The
// highest of its buckets below the bar ends at shortStop.
const (
	otherStops = "go_sched_pauses_total_other_seconds"
	shortStop  = otherStops + `_bucket{le="0.0009175039999999999"}`
)

// judge takes in the collections of the load, and the metrics after and before it.
func (r *pausesRun) judge(all []collection, now, before metrics) error {
	stops, err := now.since(before, otherStops+"_count")
	if err != nil {
		return err
	}
	short, err := now.since(before, shortStop)
	if err != nil {
		return err
	}
	r.OtherStops, r.OtherLong = stops, stops-short
	r.Collections = len(all)
	r.Stopped, r.Longest = longest(all)
	r.Stops = len(r.Stopped)
	r.P50, r.P99 = quantile(r.Stopped, 0.50), quantile(r.Stopped, 0.99)
	r.Holds = r.Collections >= pauseFewest && r.Longest < pauseBar && r.OtherLong == 0
	return nil
}

// longest are all stops of some collections, in order, and the longest of them. Unit: ms.
func longest(all []collection) (stops []float64, most float64) {
	for _, c := range all {
		stops = append(stops, c.stops[0], c.stops[1])
		most = max(most, c.stops[0], c.stops[1])
	}
	return stops, most
}

// quantile is the smallest value that at least the q-th part of all is not above; 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(q * float64(len(sorted)))
	if float64(rank) == q*float64(len(sorted)) {
		rank--
	}
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// mixture is everything that goes on in one run.
type mixture struct {
	plan     *pausesPlan
	b        *bench
	c        *crowd
	large    *paced
	small    *paced
	noise    *noisemaker
	traffic  *traffic
	received int // on the small channels
}

func groupChannel(i int) string { return fmt.Sprintf("group-%05d", i) }

func (m *mixture) gather() (err error) {
	p, c := m.plan, m.c
	half := p.clients / 2
	c.channelOf = func(i int) string {
		if i < half {
			return benchChannel
		}
		return groupChannel((i - half) / pauseGroup)
	}
	c.onOther = func(_ *subscriber, text []byte) {
		if _, ok := dataNumber(text); ok {
			m.received++
		}
	}
	if err := c.connect(p.clients, 64); err != nil {
		return err
	}
	if m.large, err = newPaced(c, pauseLoads, p.large, 0); err != nil {
		return err
	}
	m.large.shapes = spread(1, func(int) string { return benchChannel }, p.eventSize)
	if m.small, err = newPaced(c, pauseLoads, p.small, 0); err != nil {
		return err
	}
	m.small.shapes = spread((p.clients-half)/pauseGroup, groupChannel, p.eventSize)
	if m.noise, err = newNoisemaker(m.b.ctx, c.srv); err != nil {
		return err
	}
	m.noise.each = int64(time.Second) / pauseMixed
	shares := churnMix
	shares[bySilence] = 0 // the run is shorter than the heartbeat
	m.traffic, err = newTraffic(m.b.ctx, c.srv, pauseTraffic, shares, answerWithin, 1)
	return err
}

// play is the load.
func (m *mixture) play() error {
	m.large.start()
	m.small.start()
	m.noise.on = true
	m.traffic.start()
	m.c.between = func() error {
		if err := m.large.turn(); err != nil {
			return err
		}
		if err := m.small.turn(); err != nil {
			return err
		}
		if err := m.noise.turn(); err != nil {
			return err
		}
		return m.traffic.turn(0)
	}
	end := m.c.now() + int64(m.plan.length)
	return m.c.until(m.plan.length+time.Minute, "load", func() bool { return m.c.now() >= end })
}

func (m *mixture) close() {
	m.c.between = nil
	if m.noise != nil {
		m.noise.ps.close()
	}
	if m.traffic != nil {
		m.traffic.ps.close()
	}
}
