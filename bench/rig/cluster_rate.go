package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

const (
	rateChannels = 10   // of one publish, where a publish names several
	rateFirst    = 3000 // calls of redis-benchmark until it is known how many take how long
	ratePipeline = 16   // calls that one of its clients has under way, where it has several
)

// rateResult is how many publishes one Redis takes: from a node, and from redis-benchmark with the very same call.
type rateResult struct {
	Clients  int       `json:"clients"`
	Envelope int       `json:"envelope_bytes"`
	Script   string    `json:"script_sha1"`
	One      contest   `json:"one_event"`      // a publish is one event; redis-benchmark -P 1
	Several  contest   `json:"several_events"` // a publish names ten channels; redis-benchmark -P 16
	Runs     []rateRun `json:"runs"`
}

// contest is a node against redis-benchmark: medians of the rounds, and of the rounds' quotients.
type contest struct {
	Holdfast  rateRun `json:"holdfast"`
	Benchmark rateRun `json:"redis_benchmark"`
	Ratio     float64 `json:"events_per_redis_cpu_second_ratio"`
}

// rateRun is one stretch of one of them.
type rateRun struct {
	Who       string  `json:"who"`
	Events    float64 `json:"events"`
	PerSecond float64 `json:"events_per_second"`
	PerCPU    float64 `json:"events_per_redis_cpu_second"`
	Share     float64 `json:"redis_cpu_share"`             // of its CPU, 1 = it never waited
	NodeCPU   float64 `json:"node_cpu_us_event,omitempty"` // of the node, each event
}

// rates measures rounds of four stretches, each round with fresh processes: a node and redis-benchmark in turn, every
// other round in the opposite order. Redis has a CPU for itself; the node shares the other one with the rig, as
// redis-benchmark does.
func (p *clusterPlan) rates(b *bench, t target, r *clusterResult, progress io.Writer) error {
	out := &rateResult{Clients: p.publishers}
	for round := 1; round <= p.rounds; round++ {
		runs, err := p.rateRound(b, t, out, round%2 == 0)
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		out.Runs = append(out.Runs, runs...)
		fmt.Fprintf(progress, "rate, round %d of %d, events a Redis CPU second: ", round, p.rounds)
		for i, one := range runs {
			if i > 0 {
				fmt.Fprint(progress, ", ")
			}
			fmt.Fprintf(progress, "%s %.0f", one.Who, one.PerCPU)
		}
		fmt.Fprintln(progress)
	}
	out.One = out.contest(rateNames[0], rateNames[1])
	out.Several = out.contest(rateNames[2], rateNames[3])
	r.Rate = out
	return nil
}

// rateNames are the stretches of a round.
var rateNames = [4]string{"one", "-P 1", "several", "-P 16"}

func (p *clusterPlan) rateRound(b *bench, t target, out *rateResult, backwards bool) ([]rateRun, error) {
	island, err := b.newIsland(t, "everysec", 1, b.cpus.client)
	if err != nil {
		return nil, err
	}
	defer island.stop()
	c, err := newCrowd(b.ctx, island.nodes[0], waitBlock)
	if err != nil {
		return nil, err
	}
	defer c.close()
	d := &duel{plan: p, b: b, island: island, c: c}
	if err := d.set(); err != nil {
		return nil, island.words(b, err)
	}
	out.Envelope, out.Script = len(d.call.envelope()), d.call[1]
	stretches := []func() (rateRun, error){
		func() (rateRun, error) { return d.publish(d.one) },
		func() (rateRun, error) { return d.benchmark(1) },
		func() (rateRun, error) { return d.publish(d.several) },
		func() (rateRun, error) { return d.benchmark(ratePipeline) },
	}
	runs := make([]rateRun, len(stretches))
	order := []int{0, 1, 2, 3}
	if backwards {
		slices.Reverse(order)
	}
	for _, i := range order {
		if runs[i], err = stretches[i](); err != nil {
			return nil, island.words(b, fmt.Errorf("%s: %w", rateNames[i], err))
		}
		runs[i].Who = rateNames[i]
	}
	return runs, nil
}

// duel is one round.
type duel struct {
	plan         *clusterPlan
	b            *bench
	island       *island
	c            *crowd
	crew         []*publisher
	one, several messageShape
	call         publishCall
	perSecond    map[int]float64 // of redis-benchmark, by pipeline
}

func rateChannel(i int) string { return fmt.Sprintf("bench-rate-%02d", i) }

// set fills the streams, so that each event that comes makes one go, and learns the call.
func (d *duel) set() (err error) {
	if d.crew, err = d.c.addPublishers(d.plan.publishers); err != nil {
		return err
	}
	d.one = spread(1, rateChannel, eventBytes)[0]
	d.several = d.one
	for i := 1; i < rateChannels; i++ {
		d.several.more = append(d.several.more, rateChannel(i))
	}
	full := defaultKept
	if d.plan.quick {
		full = 50
	}
	d.arm(d.several)
	for range full/len(d.crew) + 1 {
		if err := d.turn(); err != nil {
			return fmt.Errorf("fill the streams: %w", err)
		}
	}
	d.arm(d.one)
	d.perSecond = map[int]float64{}
	if d.call, err = capture(d.island.redis, rateChannel(0), d.turn); err != nil {
		return err
	}
	for _, pipeline := range []int{1, ratePipeline} {
		if d.perSecond[pipeline], err = runBenchmark(d.b.ctx, d.island.redis, d.call.ready(), rateFirst, d.plan.publishers, pipeline); err != nil {
			return err
		}
	}
	return nil
}

// arm signs a request for every connection, which it sends again and again.
func (d *duel) arm(shape messageShape) {
	for _, p := range d.crew {
		p.shape, p.again = &shape, true
		p.prepare(0)
	}
}

// turn publishes once on every connection.
func (d *duel) turn() error {
	for _, p := range d.crew {
		if err := p.publish(0); err != nil {
			return err
		}
	}
	return d.c.until(broadcastTimeout, "the answers", func() bool {
		return !slices.ContainsFunc(d.crew, func(p *publisher) bool { return p.busy })
	})
}

// publish has the node publish as fast as its connections take it.
func (d *duel) publish(shape messageShape) (r rateRun, err error) {
	d.arm(shape)
	if _, err := d.c.publishFor(d.crew, d.plan.length/10); err != nil { // warm
		return r, err
	}
	before, err := d.counted()
	if err != nil {
		return r, err
	}
	var done published
	cpu, _, err := d.island.redis.used(func() (err error) {
		done, err = d.c.publishFor(d.crew, d.plan.length)
		return err
	})
	if err != nil {
		return r, err
	}
	after, err := d.counted()
	if err != nil {
		return r, err
	}
	all := done.answers + done.late
	if after-before != int64(all) {
		return r, fmt.Errorf("%d publishes were answered, and Redis counted %d", all, after-before)
	}
	each := float64(1 + len(shape.more))
	r.Events = float64(all) * each
	r.PerSecond, r.PerCPU = done.perSecond()*each, r.Events/seconds(cpu)
	r.Share = r.PerSecond / r.PerCPU
	r.NodeCPU = 1e6 * seconds(done.cpu) / r.Events
	return r, nil
}

// benchmark has redis-benchmark make the call for about as long.
func (d *duel) benchmark(pipeline int) (r rateRun, err error) {
	calls := max(int(d.perSecond[pipeline]*d.plan.length.Seconds()), rateFirst)
	before, err := d.counted()
	if err != nil {
		return r, err
	}
	cpu, _, err := d.island.redis.used(func() (err error) {
		r.PerSecond, err = runBenchmark(d.b.ctx, d.island.redis, d.call.ready(), calls, d.plan.publishers, pipeline)
		return err
	})
	if err != nil {
		return r, err
	}
	after, err := d.counted()
	if err != nil {
		return r, err
	}
	if got := after - before; got < int64(calls) { // its clients send whole pipelines: a few more
		return r, fmt.Errorf("%w: %d calls, and Redis counted %d", errBenchmark, calls, got)
	}
	r.Events = float64(after - before)
	r.PerCPU = r.Events / seconds(cpu)
	r.Share = r.PerSecond / r.PerCPU
	return r, nil
}

// counted is how many events the first channel has had.
func (d *duel) counted() (int64, error) {
	if err := pause(d.b.ctx, 10*time.Millisecond); err != nil {
		return 0, err
	}
	text, err := d.island.ask.text("HGET", d.call.head(), "q")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// contest takes the rounds of two that were measured side by side.
func (r *rateResult) contest(holdfast, benchmark string) contest {
	of := func(who string) (runs []rateRun) {
		for _, one := range r.Runs {
			if one.Who == who {
				runs = append(runs, one)
			}
		}
		return runs
	}
	mine, theirs := of(holdfast), of(benchmark)
	var ratios []float64
	for i := range mine {
		ratios = append(ratios, mine[i].PerCPU/theirs[i].PerCPU)
	}
	return contest{medianRun(holdfast, mine), medianRun(benchmark, theirs), median(ratios)}
}

func medianRun(who string, runs []rateRun) rateRun {
	of := func(field func(rateRun) float64) float64 {
		var values []float64
		for _, one := range runs {
			values = append(values, field(one))
		}
		return median(values)
	}
	return rateRun{
		Who:       who,
		Events:    of(func(r rateRun) float64 { return r.Events }),
		PerSecond: of(func(r rateRun) float64 { return r.PerSecond }),
		PerCPU:    of(func(r rateRun) float64 { return r.PerCPU }),
		Share:     of(func(r rateRun) float64 { return r.Share }),
		NodeCPU:   of(func(r rateRun) float64 { return r.NodeCPU }),
	}
}
