package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

const (
	cutGrace = 300 * time.Millisecond // after the last event: a duplicate would come
	cutLook  = 5 * time.Millisecond   // between two looks at the subscriptions
)

// cutResult is what it takes a node to follow its channels again when its connection was cut.
type cutResult struct {
	Channels int        `json:"channels"`
	Rounds   []cutRound `json:"rounds"`
	Again    float64    `json:"subscribed_again_ms"` // this and what follows: medians of the rounds
	Uncut    arrivals   `json:"without_a_cut"`
	Cut      arrivals   `json:"after_the_cut"`
}

// cutRound is a cut with nothing else to do, one event on every channel without a cut, and one right behind a cut.
type cutRound struct {
	Again   float64  `json:"subscribed_again_ms"` // until Redis has as many subscriptions as before, without events
	Uncut   arrivals `json:"without_a_cut"`
	Cut     arrivals `json:"after_the_cut"`
	Killed  int64    `json:"connections_cut"`
	Filled  float64  `json:"events_read_from_streams"` // by the first node
	Holes   float64  `json:"holes"`
	Missing int      `json:"missing"`
	Doubled int      `json:"doubled"`
	Lag     lag      `json:"loop_lag"` // from the cut to the end
}

// arrivals is when one event was on all channels. Unit: ms, from the cut, or from the first publish.
type arrivals struct {
	First  float64 `json:"first_ms"`
	Median float64 `json:"median_ms"`
	P99    float64 `json:"p99_ms"`
	Last   float64 `json:"last_ms"`
}

// cuts ends the connections on which events come (CLIENT KILL TYPE pubsub), of both nodes, and publishes one event on
// every channel at once: the first node has to dial, to follow all channels again and to read what it missed. When the
// last channel's subscriber has its event, events flow again on all. How long that takes is in part the events' own
// doing, so the same is measured without a cut, and a cut without events.
func (p *clusterPlan) cuts(b *bench, t target, r *clusterResult, progress io.Writer) error {
	out := &cutResult{Channels: p.channels}
	err := b.withFollowers(t, "everysec", p.channels, func(f *followers) error {
		if err := f.follow(); err != nil {
			return err
		}
		number := 1
		if _, err := f.timed(number, f.c.now()); err != nil { // warm
			return err
		}
		for round := 1; round <= p.rounds; round++ {
			one, err := p.cutRound(f, &number)
			if err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
			out.Rounds = append(out.Rounds, one)
			fmt.Fprintf(progress, "cut, round %d of %d: an event on all of %d channels after %.0f ms, %.0f ms without a cut; loop lag p99 at most %g ms\n",
				round, p.rounds, p.channels, one.Cut.Last, one.Uncut.Last, one.Lag.P99)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var again []float64
	for _, one := range out.Rounds {
		again = append(again, one.Again)
	}
	out.Again = median(again)
	out.Uncut = medianArrivals(out.Rounds, func(r cutRound) arrivals { return r.Uncut })
	out.Cut = medianArrivals(out.Rounds, func(r cutRound) arrivals { return r.Cut })
	r.Cut = out
	return nil
}

func (p *clusterPlan) cutRound(f *followers, number *int) (r cutRound, err error) {
	if err := f.linger(p.rest); err != nil {
		return r, err
	}
	*number++
	if r.Uncut, err = f.timed(*number, f.c.now()); err != nil {
		return r, err
	}
	if err := f.linger(p.rest); err != nil {
		return r, err
	}
	if r.Again, err = f.again(); err != nil {
		return r, err
	}
	if err := f.linger(p.rest); err != nil {
		return r, err
	}
	before, err := f.island.nodes[0].scrape(f.b.ctx)
	if err != nil {
		return r, err
	}
	stray := f.stray
	began := f.c.now()
	if r.Killed, err = f.cut(); err != nil {
		return r, err
	}
	*number++
	if r.Cut, err = f.timed(*number, began); err != nil {
		return r, err
	}
	if err := f.linger(cutGrace); err != nil {
		return r, err
	}
	after, err := f.island.nodes[0].scrape(f.b.ctx)
	if err != nil {
		return r, err
	}
	if r.Lag, err = lagSince(before, after); err != nil {
		return r, err
	}
	if r.Filled, err = after.since(before, "holdfast_broker_events_filled_total"); err != nil {
		return r, err
	}
	if r.Holes, err = after.since(before, "holdfast_broker_holes_total"); err != nil {
		return r, err
	}
	r.Missing, r.Doubled = f.channels-f.first, f.stray-stray
	for _, n := range f.seen {
		r.Doubled += max(n-1, 0)
	}
	return r, nil
}

// cut ends all connections with subscriptions.
func (f *followers) cut() (killed int64, err error) {
	v, err := f.island.ask.do("CLIENT", "KILL", "TYPE", "pubsub")
	if err != nil {
		return 0, err
	}
	killed, _ = v.(int64)
	if killed == 0 {
		err = fmt.Errorf("no connection was cut")
	}
	return killed, err
}

// again cuts and waits until Redis has as many subscriptions as before. Unit: ms.
func (f *followers) again() (ms float64, err error) {
	want, err := f.subscriptions()
	if err != nil {
		return 0, err
	}
	began := f.c.now()
	if _, err := f.cut(); err != nil {
		return 0, err
	}
	for have := int64(0); have < want; {
		if err := f.linger(cutLook); err != nil {
			return 0, err
		}
		if have, err = f.subscriptions(); err != nil {
			return 0, err
		}
		if f.c.now()-began > int64(collectTimeout) {
			return 0, fmt.Errorf("%w: %d subscriptions of %d after a cut", errTimeout, have, want)
		}
	}
	return float64(f.c.now()-began) / float64(time.Millisecond), nil
}

// subscriptions is how many channels Redis has subscribers of.
func (f *followers) subscriptions() (int64, error) {
	text, err := f.island.ask.text("INFO", "stats")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(infoField(text, "pubsub_channels"), 10, 64)
}

// timed publishes one event on every channel and waits until all have it, or nothing has come for long.
func (f *followers) timed(number int, began int64) (arrivals, error) {
	last, seen := f.c.now(), 0
	err := f.publish(number, f.channels, func() bool {
		if f.first != seen {
			last, seen = f.c.now(), f.first
		}
		return f.all() || f.c.now()-last > int64(recoverSilence)
	})
	if err != nil || len(f.came) == 0 {
		return arrivals{}, err
	}
	sorted := slices.Sorted(slices.Values(f.came))
	at := func(q float64) float64 {
		return float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]-began) / float64(time.Millisecond)
	}
	return arrivals{at(0), at(0.5), at(0.99), at(1)}, nil
}

func medianArrivals(rounds []cutRound, of func(cutRound) arrivals) arrivals {
	pick := func(field func(arrivals) float64) float64 {
		var values []float64
		for _, one := range rounds {
			values = append(values, field(of(one)))
		}
		return median(values)
	}
	return arrivals{
		pick(func(a arrivals) float64 { return a.First }), pick(func(a arrivals) float64 { return a.Median }),
		pick(func(a arrivals) float64 { return a.P99 }), pick(func(a arrivals) float64 { return a.Last }),
	}
}
