package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	collectorEach   = 100  // channels that each connection subscribes to: limits.subscriptions
	collectorAtOnce = 64   // connections that subscribe at the same time
	collectorTouch  = 4096 // channels that are published to
)

// collectorPlan is a server with many channels under a steady stream of publishes, at several values of GOGC.
type collectorPlan struct {
	judged
	clients   int
	each      int // channels of each client, which nobody else has
	rate      float64
	eventSize int
	percents  []int // of GOGC; 0: what the server sets itself
	runs      int
	length    time.Duration
}

// collectorRun is one fresh process.
type collectorRun struct {
	GOGC        int     `json:"gogc"` // 0: the server's own
	Collections int     `json:"collections"`
	Live        float64 `json:"live_heap_mb"` // after the last collection
	RSSBefore   int64   `json:"rss_before_bytes"`
	RSSPeak     int64   `json:"rss_peak_bytes"` // VmHWM
	Longest     float64 `json:"longest_stop_ms"`
	GCCPU       float64 `json:"gc_cpu_percent_of_server"`
	Idle        float64 `json:"gc_idle_cpu_percent_of_server"` // marking in time that nobody else wanted; part of neither figure beside it
	PerPublish  float64 `json:"cpu_per_publish_us"`            // of the server, all that it did
	CPU         float64 `json:"server_cpu_share"`
	Published   int     `json:"published"`
	Received    int     `json:"received"`
}

// collectorResult is all runs, in turn.
type collectorResult struct {
	Server   string         `json:"server"`
	Clients  int            `json:"clients"`
	Channels int            `json:"channels"`
	Rate     float64        `json:"publishes_per_second"`
	Runs     []collectorRun `json:"runs"`
}

func runCollector(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p := collectorPlan{}
	fs := flag.NewFlagSet("rig collector", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	p.sizeFlag(fs)
	percents := fs.String("gogc", "0,25,50,100,200", "values of GOGC, in turn; 0 = what the server sets itself")
	fs.IntVar(&p.clients, "n", 10000, "connections")
	fs.IntVar(&p.each, "channels", collectorEach, "channels that each connection subscribes to, and nobody else")
	fs.Float64Var(&p.rate, "publish-rate", 4000, "events a second on 4,096 of the channels, in turn")
	fs.IntVar(&p.eventSize, "bytes", 512, "of one event on the wire")
	fs.IntVar(&p.runs, "runs", 2, "runs of each value, each with a fresh process")
	fs.DurationVar(&p.length, "for", 25*time.Second, "time under load, in each run")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	for text := range strings.SplitSeq(*percents, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 0 || n > 10000 {
			return false, fmt.Errorf("%w: -gogc %q: a list of percentages up to 10000", errRefused, *percents)
		}
		p.percents = append(p.percents, n)
	}
	if p.quick {
		p.clients, p.runs, p.length, p.rate, p.percents = 200, 1, 2*time.Second, 500, p.percents[:1]
	}
	if p.clients < 1 || p.each < 1 || p.each > collectorEach || p.rate <= 0 || p.eventSize < 165 || p.runs < 1 || p.length <= 0 || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -n and -runs are at least 1, -channels 1 to %d, -bytes at least 165, -publish-rate and -for above 0, and nothing stands behind the flags",
			errRefused, collectorEach)
	}
	return p.session(ctx, "collector", p.clients, out, progress, nil,
		func(b *bench, ts []target) (any, []verdict, error) { return p.measure(b, ts[0], progress) })
}

func (p *collectorPlan) measure(b *bench, t target, progress io.Writer) (any, []verdict, error) {
	r := &collectorResult{Server: t.name, Clients: p.clients, Channels: p.clients * p.each, Rate: p.rate}
	missing, slow := 0, 0
	for run := 1; run <= p.runs; run++ {
		for _, percent := range p.percents {
			one, err := p.one(b, t, percent)
			if err != nil {
				return nil, nil, fmt.Errorf("run %d with GOGC %d: %w", run, percent, err)
			}
			r.Runs = append(r.Runs, one)
			missing += one.Published - one.Received
			if float64(one.Published) < 0.9*p.rate*p.length.Seconds() {
				slow++
			}
			fmt.Fprintf(progress, "run %d, GOGC %d: %d collections of %.0f MB, resident at most %d MB, %.1f µs a publish, %.1f %% of it collecting, longest stop %.3f ms\n",
				run, percent, one.Collections, one.Live, one.RSSPeak/1e6, one.PerPublish, one.GCCPU, one.Longest)
		}
	}
	return r, []verdict{
		exactly("events that did not arrive", float64(missing), 0),
		exactly("runs that published less than nine tenths of their rate", float64(slow), 0),
	}, nil
}

// withGOGC is a traced server with a GOGC of its own.
func withGOGC(t target, percent int) target {
	if percent > 0 {
		return traced(t, fmt.Sprint("GOGC=", percent))
	}
	return traced(t)
}

func ownChannel(client, i int) string { return fmt.Sprintf("own-%05d-%02d", client, i) }

// one is one run with a fresh process.
func (p *collectorPlan) one(b *bench, t target, percent int) (r collectorRun, err error) {
	r.GOGC = percent
	err = b.withCrowd(withGOGC(t, percent), func(c *crowd) error {
		ps, err := newPeers(b.ctx, c.srv)
		if err != nil {
			return err
		}
		defer ps.close()
		if err := ps.subscribeEach(p.clients, p.each, ownChannel); err != nil {
			return err
		}
		ps.onEvent = func(*peer, string, []byte, int) { r.Received++ }
		load, err := newPaced(c, pauseLoads, p.rate, 0)
		if err != nil {
			return err
		}
		load.shapes = spread(min(collectorTouch, p.clients*p.each), func(i int) string {
			return ownChannel(i%p.clients, i/p.clients)
		}, p.eventSize)
		m, err := c.srv.memory()
		if err != nil {
			return err
		}
		if err := c.srv.forgetPeak(); err != nil {
			return err
		}
		r.RSSBefore = m.rss
		before, err := collections(c.srv)
		if err != nil {
			return err
		}
		c.between = func() error {
			if err := load.turn(); err != nil {
				return err
			}
			return ps.turn(0)
		}
		defer func() { c.between = nil }()
		load.start()
		began := c.now()
		cpu, _, err := c.srv.used(func() error {
			end := c.now() + int64(p.length)
			return c.until(p.length+time.Minute, "load", func() bool { return c.now() >= end })
		})
		if err != nil {
			return err
		}
		wall := c.now() - began
		load.stop()
		r.Published = len(load.called)
		if err := c.until(time.Minute, "the last events", func() bool { return load.idle() && r.Received >= r.Published }); err != nil {
			return err
		}
		if r.RSSPeak, err = c.srv.peak(); err != nil {
			return err
		}
		all, err := collections(c.srv)
		if err != nil {
			return err
		}
		r.judge(all[len(before):], cpu, wall)
		return nil
	})
	return r, err
}

// judge takes in the collections of the load. Unit of both times: ns.
func (r *collectorRun) judge(all []collection, cpu, wall int64) {
	r.Collections = len(all)
	_, r.Longest = longest(all)
	var busy, idle float64 // ms
	for _, c := range all {
		busy, idle, r.Live = busy+c.cpu, idle+c.idle, c.live
	}
	ms := float64(cpu) / 1e6
	r.GCCPU, r.Idle = 100*busy/ms, 100*idle/ms
	r.PerPublish, r.CPU = ms*1e3/float64(max(r.Published, 1)), float64(cpu)/float64(wall)
}

// subscribeEach opens clients connections and waits until each of them has so many channels, named by its number and
// theirs.
func (ps *peers) subscribeEach(clients, each int, name func(client, i int) string) error {
	joined := make([]int, clients)
	done := 0
	ps.channel = func(number int) string { return name(number, 0) }
	ps.onReady = func(peer *peer) error {
		n := &joined[peer.number]
		if *n++; *n == each {
			done++
		}
		if *n != 1 {
			return nil
		}
		for i := 1; i < each; i++ {
			text := fmt.Appendf(nil, `{"event":"pusher:subscribe","data":{"channel":"%s"}}`, name(peer.number, i))
			if err := peer.say(opText, text); err != nil {
				return err
			}
		}
		return nil
	}
	var failed error
	ps.onEnd = func(_ *peer, err error) { failed = err }
	return ps.until(connectTimeout, "subscribe", func() (bool, error) {
		for ps.opened < clients && ps.opened-done < collectorAtOnce {
			if _, err := ps.open(); err != nil {
				return false, err
			}
		}
		return done == clients, failed
	})
}

// collections are those that a traced server has written of.
func collections(srv *server) ([]collection, error) {
	return parseCollections(readText(filepath.Join(srv.dir, "output")))
}
