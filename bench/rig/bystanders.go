package main

import (
	"slices"
	"time"
)

const (
	bystanderChannel = "bench-others"
	// bystanderCalls is how many publishes may be unanswered at once: a server that stalls for shorter than this many
	// periods does not keep the next event from being published in time.
	bystanderCalls = 16
)

// bystanders are well-behaved connections on a channel of their own that get an event in every period, whatever else
// goes on. They have an epoll descriptor of their own, looked at after every socket of the others, and a reception
// counts from the publish to the arrival in the kernel: the rig's own work is not in it.
type bystanders struct {
	c      *crowd
	crew   []*publisher
	period int64 // ns

	on     bool
	next   int64 // when the next event is due, now() of c
	waited bool  // no connection was free then
	number int   // of the next event
	called []call
	phases map[string]*[]int64 // receptions, ns
	phase  *[]int64            // of the events that are published now
}

// call is one publish.
type call struct {
	at    int64 // when it was made; when it was due, if no connection was free then
	phase *[]int64
}

// newBystanders connects n of them.
func newBystanders(b *bench, srv *server, n int, period time.Duration, frameBytes int) (*bystanders, error) {
	c, err := newCrowd(b.ctx, srv, waitSpin)
	if err != nil {
		return nil, err
	}
	o := &bystanders{c: c, period: int64(period), phases: map[string]*[]int64{}}
	c.stamped = true
	c.sharing(bystanderChannel)
	if err := o.start(n, frameBytes); err != nil {
		c.close()
		return nil, err
	}
	return o, nil
}

func (o *bystanders) start(n, frameBytes int) (err error) {
	if err := o.c.connect(n, 16); err != nil {
		return err
	}
	if o.crew, err = o.c.addPublishers(bystanderCalls); err != nil {
		return err
	}
	if err := o.c.calibrate(o.crew[0], frameBytes, 0); err != nil {
		return err
	}
	o.called, o.number = append(o.called, call{}), 1
	o.c.onMessage = func(_ *subscriber, _ []byte, number int) {
		if number > 0 && number < len(o.called) {
			if to := o.called[number]; to.phase != nil {
				*to.phase = append(*to.phase, o.c.read-to.at)
			}
		}
	}
	return nil
}

func (o *bystanders) close() { o.c.close() }

// enter begins a phase: the receptions of events published from now on are counted under its name.
func (o *bystanders) enter(name string) {
	if o.phases[name] == nil {
		o.phases[name] = new([]int64)
	}
	o.phase, o.on, o.next, o.waited = o.phases[name], true, o.c.now()+o.period, false
}

// leave ends the publishing, and waits for what is still under way.
func (o *bystanders) leave() error {
	o.on = false
	return o.c.until(broadcastTimeout, "the bystanders' last events", func() bool {
		return o.c.received >= o.number*o.c.subscribed && !slices.ContainsFunc(o.crew, func(p *publisher) bool { return p.busy })
	})
}

// turn publishes what is due and handles what has come. It never waits.
func (o *bystanders) turn() error {
	if now := o.c.now(); o.on && now >= o.next {
		i := slices.IndexFunc(o.crew, func(p *publisher) bool { return !p.busy })
		if i < 0 {
			o.waited = true
		} else {
			at := now
			if o.waited { // for the server: that is latency too
				at = o.next
			}
			o.called = append(o.called, call{at, o.phase})
			if err := o.crew[i].publish(o.number); err != nil {
				return err
			}
			o.crew[i].prepare(o.number + 1) // most likely its next one
			o.number++
			o.next, o.waited = max(o.next+o.period, now), false
		}
	}
	if err := o.c.step(); err != nil {
		return err
	}
	if o.c.fault != nil {
		return o.c.fault
	}
	return nil
}

// latencies are what a phase brought. Unit: milliseconds.
type latencies struct {
	Receptions int     `json:"receptions"`
	P50        float64 `json:"p50_ms"`
	P90        float64 `json:"p90_ms"`
	P99        float64 `json:"p99_ms"`
	Max        float64 `json:"max_ms"`
}

// summary is what receptions, in ns, amount to.
func summary(ns []int64) latencies {
	if len(ns) == 0 {
		return latencies{}
	}
	sorted := slices.Sorted(slices.Values(ns))
	at := func(q float64) float64 {
		return float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]) / float64(time.Millisecond)
	}
	return latencies{Receptions: len(sorted), P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
}
