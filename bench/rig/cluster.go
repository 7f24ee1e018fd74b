package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// eventBytes is an event's size on the wire.
const eventBytes = 165

// clusterPlan is what several nodes cost that share a Redis.
type clusterPlan struct {
	judged
	parts      []string
	rounds     int
	length     time.Duration // of one stretch of deliveries, and of one of publishes
	rate       float64       // events a second beside the deliveries
	loaded     int           // channels that these go to
	publishers int           // connections that publish at once, and clients of redis-benchmark
	channels   int           // that a node follows when its memory is read, and when it is cut off
	stall      time.Duration // that Redis stands still
	refusals   float64       // publishes a second meanwhile
	idle       int           // sockets meanwhile
	settle     time.Duration // quiet time before memory is read
	apart      time.Duration // two of its readings
	rest       time.Duration // quiet time before a cut
	timeout    time.Duration // redis.publish_timeout where Redis stands still; 0: the server's default
}

// clusterResult is what was measured; a part that was not asked for is nil.
type clusterResult struct {
	Server   string          `json:"server"`
	Redis    string          `json:"redis_version"`
	Delivery *deliveryResult `json:"delivery,omitempty"`
	Rate     *rateResult     `json:"rate,omitempty"`
	Memory   *holdingResult  `json:"memory,omitempty"`
	Cut      *cutResult      `json:"cut,omitempty"`
	Stall    *stallResult    `json:"stall,omitempty"`
}

// clusterParts are in the order in which they are measured.
var clusterParts = []struct {
	name    string
	measure func(*clusterPlan, *bench, target, *clusterResult, io.Writer) error
}{
	{"delivery", (*clusterPlan).deliveries},
	{"rate", (*clusterPlan).rates},
	{"memory", (*clusterPlan).holding},
	{"cut", (*clusterPlan).cuts},
	{"stall", (*clusterPlan).stalls},
}

func partNames() (names []string) {
	for _, part := range clusterParts {
		names = append(names, part.name)
	}
	return names
}

func runCluster(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p := clusterPlan{apart: 100 * time.Millisecond, rest: time.Second}
	fs := flag.NewFlagSet("rig cluster", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	p.sizeFlag(fs)
	parts := fs.String("parts", "all", "comma-separated parts: "+strings.Join(partNames(), ", "))
	fs.IntVar(&p.rounds, "rounds", 3, "rounds of deliveries, of publishes with fresh processes, and of cuts")
	fs.DurationVar(&p.length, "for", 5*time.Second, "time of one stretch of deliveries or publishes: three and four of them a round")
	fs.Float64Var(&p.rate, "rate", 2000, "events a second beside the deliveries")
	fs.IntVar(&p.loaded, "rate-channels", 1000, "channels that these go to, each with a subscriber")
	fs.IntVar(&p.publishers, "publishers", 64, "connections that publish at once, and clients of redis-benchmark")
	fs.IntVar(&p.channels, "channels", 10000, "channels that a node follows when memory is read and when it is cut off; a multiple of 100")
	fs.DurationVar(&p.stall, "stall", 10*time.Second, "time that Redis stands still")
	fs.Float64Var(&p.refusals, "stall-rate", 200, "publishes a second meanwhile, each answered 503")
	fs.IntVar(&p.idle, "idle", 1000, "sockets that do nothing meanwhile")
	fs.DurationVar(&p.settle, "settle", 3*time.Second, "quiet time before the memory of Redis is read")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	p.parts = partNames()
	if *parts != "all" {
		p.parts = strings.Split(*parts, ",")
	}
	for _, name := range p.parts {
		if !slices.Contains(partNames(), name) {
			return false, fmt.Errorf("%w: no part %q: have %s", errRefused, name, strings.Join(partNames(), ", "))
		}
	}
	if p.quick {
		p.shrink()
	}
	if p.rounds < 1 || p.length <= 0 || p.rate <= 0 || p.loaded < 1 || p.publishers < 1 || p.channels < channelsEach || p.channels%channelsEach != 0 ||
		p.stall <= 0 || p.refusals <= 0 || p.idle < 1 || p.settle < 0 || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -rounds, -rate-channels, -publishers and -idle are at least 1, -channels a multiple of %d, rates and durations above 0, and nothing stands behind the flags",
			errRefused, channelsEach)
	}
	if _, err := redisTarget("no"); err != nil {
		return false, err
	}
	if _, err := findBenchmark(); err != nil {
		return false, err
	}
	sockets := 2*p.loaded + p.publishers + p.idle + p.stallCrew() + p.channels/channelsEach + 64
	return p.session(ctx, "cluster", sockets, out, progress, nil,
		func(b *bench, ts []target) (any, []verdict, error) { return p.measure(b, ts[0], progress) })
}

// shrink makes it a smoke test.
func (p *clusterPlan) shrink() {
	p.rounds, p.length, p.rate, p.loaded, p.publishers, p.channels = 1, 300*time.Millisecond, 300, 50, 8, 3*channelsEach
	p.stall, p.refusals, p.idle, p.timeout = 1000*time.Millisecond, 50, 50, 300*time.Millisecond
	p.settle, p.apart, p.rest = 100*time.Millisecond, 10*time.Millisecond, 100*time.Millisecond
}

func (p *clusterPlan) measure(b *bench, t target, progress io.Writer) (any, []verdict, error) {
	version, err := redisVersion()
	if err != nil {
		return nil, nil, err
	}
	r := &clusterResult{Server: t.name, Redis: version}
	for _, part := range clusterParts {
		if !slices.Contains(p.parts, part.name) {
			continue
		}
		if err := part.measure(p, b, t, r, progress); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return r, r.judge(), nil
}

func (r *clusterResult) judge() (out []verdict) {
	if d := r.Delivery; d != nil {
		out = append(out,
			exactly("events beside: missing or doubled", float64(d.Missing+d.Doubled), 0),
			atLeast("events beside: share of their rate", min(d.Achieved.Across, d.Achieved.Alone)/d.Rate, 0.9))
	}
	if c := r.Cut; c != nil {
		missing, double, holes := 0, 0, 0.0
		var lags []lag
		for _, one := range c.Rounds {
			missing, double, holes = missing+one.Missing, double+one.Doubled, holes+one.Holes
			lags = append(lags, one.Lag)
		}
		out = append(out,
			exactly("cut off: events missing or doubled, holes", float64(missing+double)+holes, 0),
			atMost("cut off: loop lag p99, ms", worst(lags...).P99, lagBar))
	}
	if s := r.Stall; s != nil {
		out = append(out,
			atMost("Redis stands still: loop lag p99, ms", s.During.Lag.P99, lagBar),
			exactly("Redis stands still: connections lost", float64(s.Lost), 0),
			atLeast("Redis stands still: share of the publishes answered 503", float64(s.During.Refused)/float64(max(s.During.Published, 1)), 0.95),
			atMost("Redis stands still: 503 after, p99, ms", s.During.Answers.P99, s.Timeout+refusalSlack))
	}
	return out
}
