package main

import (
	"fmt"
	"io"
	"time"
)

const (
	deliveryChannel = "bench-delivery"
	deliveryWarm    = 0.1 // of a stretch, uncounted
	loadCalls       = 32  // connections on which the events beside are published
)

// deliveryResult is the time from a publish to its arrival, on each of three ways.
type deliveryResult struct {
	Rate     float64 `json:"events_per_second_beside"`
	Channels int     `json:"channels_beside"`
	Quiet    ways    `json:"quiet"`
	Loaded   ways    `json:"loaded"`
	Beside   pair    `json:"events_beside"` // the events beside, themselves
	Achieved rates   `json:"achieved_per_second"`
	Missing  int     `json:"missing"`
	Doubled  int     `json:"doubled"`
}

// ways are an event published on one node with its subscriber on another, PUBLISH to a bare subscription, and a node
// without Redis.
type ways struct {
	Across latencies `json:"across_redis"`
	Bare   latencies `json:"bare_publish"`
	Alone  latencies `json:"one_node_without_redis"`
}

type pair struct {
	Across latencies `json:"across_redis"`
	Alone  latencies `json:"one_node_without_redis"`
}

// rates is how many of them a second were published.
type rates struct {
	Across float64 `json:"across_redis"`
	Alone  float64 `json:"one_node_without_redis"`
}

// deliveries alternates stretches: quiet, in which an event on each of the three ways takes its turn; loaded, the same
// for the two that use Redis, while other events go the same way; and the node without Redis with such events of its own.
// A node has one thing to do at a time in each.
func (p *clusterPlan) deliveries(b *bench, t target, r *clusterResult, progress io.Writer) error {
	s := &stage{plan: p, b: b, began: time.Now()}
	defer s.close()
	if err := s.set(t); err != nil {
		return s.words(err)
	}
	d := &deliveryResult{Rate: p.rate, Channels: p.loaded}
	across, bare, alone := timing{probe: s.across}, timing{probe: s.bare}, timing{probe: s.alone}
	busyAcross, busyBare, busyAlone := across, bare, alone
	for round := 1; round <= p.rounds; round++ {
		for _, one := range []struct {
			beside  *background
			timings []*timing
		}{
			{nil, []*timing{&across, &bare, &alone}},
			{s.throughRedis, []*timing{&busyAcross, &busyBare}},
			{s.throughOne, []*timing{&busyAlone}},
		} {
			if err := s.stretch(one.beside, one.timings...); err != nil {
				return s.words(err)
			}
		}
		fmt.Fprintf(progress, "delivery, round %d of %d: %.0f µs across Redis, %.0f µs with %g events/s beside (medians so far)\n",
			round, p.rounds, 1e3*summary(across.ns).P50, 1e3*summary(busyAcross.ns).P50, p.rate)
	}
	d.Quiet = ways{summary(across.ns), summary(bare.ns), summary(alone.ns)}
	d.Loaded = ways{summary(busyAcross.ns), summary(busyBare.ns), summary(busyAlone.ns)}
	d.Beside = pair{summary(s.throughRedis.ns), summary(s.throughOne.ns)}
	d.Achieved = rates{s.throughRedis.perSecond(), s.throughOne.perSecond()}
	d.Missing = s.throughRedis.missing() + s.throughOne.missing()
	d.Doubled = s.throughRedis.doubled + s.throughOne.doubled
	r.Delivery = d
	return nil
}

// probe is one event at a time on one way.
type probe interface {
	prepare() // all that need not be timed
	publish() error
	done() bool // it has come, and is answered
	at() int64  // when it came
}

// timing is a probe with what it brought. Unit: ns.
type timing struct {
	probe probe
	ns    []int64
}

// stage is two nodes with their Redis, a node without, and all sockets of the rig to them, on one clock.
type stage struct {
	plan   *clusterPlan
	b      *bench
	began  time.Time
	island *island
	single *server

	main                     *crowd   // whose loop turns the others
	crowds                   []*crowd // all
	across, alone            *through
	bare                     *bare
	throughRedis, throughOne *background
	beside                   *background // the one that is on
}

// set starts the servers and connects everything.
func (s *stage) set(t target) (err error) {
	if s.island, err = s.b.newIsland(t, "everysec", 2, s.b.cpus.server); err != nil {
		return err
	}
	if s.single, err = startServer(s.b.ctx, t, s.b.cpus.server, s.b.cpus.client); err != nil {
		return err
	}
	here, there := s.island.nodes[0], s.island.nodes[1]
	if s.main, err = s.crowd(here); err != nil {
		return err
	}
	if s.across, err = s.through(s.main, there); err != nil {
		return err
	}
	alone, err := s.crowd(s.single)
	if err != nil {
		return err
	}
	if s.alone, err = s.through(alone, s.single); err != nil {
		return err
	}
	if s.bare, err = newBare(s.main, s.island.redis, s.across.shape.appendText(nil, 1)); err != nil {
		return err
	}
	if s.throughRedis, err = s.background(here, there); err != nil {
		return err
	}
	if s.throughOne, err = s.background(s.single, s.single); err != nil {
		return err
	}
	s.main.between = s.turn
	return nil
}

func (s *stage) close() {
	if s.main != nil {
		s.main.between = nil
	}
	if s.bare != nil {
		s.bare.close()
	}
	for _, c := range s.crowds {
		c.close()
	}
	if s.single != nil {
		s.single.stop()
	}
	if s.island != nil {
		s.island.stop()
	}
}

func (s *stage) words(err error) error {
	if s.island != nil {
		err = s.island.words(s.b, err)
	}
	return err
}

// crowd is one that counts from the common beginning, and from arrivals in the kernel.
func (s *stage) crowd(srv *server) (*crowd, error) {
	c, err := newCrowd(s.b.ctx, srv, waitSpin)
	if err != nil {
		return nil, err
	}
	c.began, c.stamped = s.began, true
	s.crowds = append(s.crowds, c)
	return c, nil
}

// turn is called after every socket of the main crowd.
func (s *stage) turn() error {
	if s.beside != nil {
		if err := s.beside.load.turn(); err != nil {
			return err
		}
	}
	for _, c := range s.crowds {
		if c == s.main {
			continue
		}
		if err := c.step(); err != nil {
			return err
		}
		if c.fault != nil {
			return c.fault
		}
	}
	return nil
}

// stretch lets the probes take turns for a while, the first of each turn another one, with events beside or without.
func (s *stage) stretch(beside *background, timings ...*timing) error {
	s.beside = beside
	if beside != nil {
		beside.load.start()
	}
	began := s.main.now()
	counted := began + int64(deliveryWarm*float64(s.plan.length))
	end := counted + int64(s.plan.length)
	for i := 0; s.main.now() < end; i++ {
		for k := range timings {
			one := timings[(i+k)%len(timings)]
			ns, err := s.once(one.probe)
			if err != nil {
				return err
			}
			if s.main.now() >= counted {
				one.ns = append(one.ns, ns)
			}
		}
	}
	if beside == nil {
		return nil
	}
	beside.load.stop()
	beside.on += s.main.now() - began
	last := s.main.now() + int64(recoverSilence)
	return s.main.until(time.Minute, "the last events beside", func() bool {
		return beside.load.idle() && beside.arrived >= len(beside.load.called) || s.main.now() > last
	})
}

// once publishes one event and waits until it has come.
func (s *stage) once(one probe) (ns int64, err error) {
	one.prepare()
	at := s.main.now()
	if err := one.publish(); err != nil {
		return 0, err
	}
	if err := s.main.until(broadcastTimeout, "an event", one.done); err != nil {
		return 0, err
	}
	return one.at() - at, nil
}
