package main

import (
	"fmt"
	"io"
	"math"
	"time"
)

const (
	stallCalm      = 0.5                   // of the time that Redis stands still, before it
	stallChannel   = "bench-idle"          // of the sockets that do nothing
	stallPingers   = 20                    // connections that ask how long the server takes
	stallEvery     = 50 * time.Millisecond // each of them
	stallRefusals  = 1000                  // channels that are published to, without subscribers
	defaultTimeout = 2 * time.Second       // redis.publish_timeout, by default
	refusalSlack   = 500.0                 // ms that a 503 may come later than that
	stallBack      = 20 * time.Millisecond // between two publishes that ask whether Redis is back
)

// stallResult is a node whose Redis stands still: its connections stand, and nobody answers.
type stallResult struct {
	Seconds  float64    `json:"seconds"`
	Idle     int        `json:"idle_connections"`
	Rate     float64    `json:"publishes_per_second"`
	Timeout  float64    `json:"publish_timeout_ms"`
	Before   stallPhase `json:"before"`
	During   stallPhase `json:"while_redis_stands_still"`
	Lost     int        `json:"connections_lost"`
	Reason   string     `json:"reason,omitempty"`
	BackMS   float64    `json:"back_after_ms"`         // from the moment in which Redis goes on to an event that has come to all
	Attempts int        `json:"publishes_until_there"` // the last one was answered 200
}

// stallPhase is how the node was meanwhile.
type stallPhase struct {
	Lag       lag       `json:"loop_lag"`
	Pings     latencies `json:"pings"`
	Published int       `json:"published"`
	Refused   int       `json:"refused"`       // answered 503
	Answers   latencies `json:"refused_after"` // from the publish to its 503
}

// stallCrew is how many connections publish: one waits for its 503 as long as the node waits for Redis.
func (p *clusterPlan) stallCrew() int {
	return int(math.Ceil(p.refusals*(p.patience()+time.Second).Seconds())) + 8
}

// patience is the node's redis.publish_timeout.
func (p *clusterPlan) patience() time.Duration {
	if p.timeout > 0 {
		return p.timeout
	}
	return defaultTimeout
}

// stalls lets publishes, pings and sockets that do nothing go on while Redis is stopped (SIGSTOP).
func (p *clusterPlan) stalls(b *bench, t target, r *clusterResult, progress io.Writer) error {
	if p.timeout > 0 {
		t = t.with(t.config, "--set", "redis.publish_timeout="+p.timeout.String())
	}
	island, err := b.newIsland(t, "everysec", 1, b.cpus.server)
	if err != nil {
		return err
	}
	defer island.stop()
	s := &halted{plan: p, b: b, island: island, r: &stallResult{Seconds: p.stall.Seconds(), Idle: p.idle, Rate: p.refusals, Timeout: float64(p.patience()) / float64(time.Millisecond)}}
	defer s.close()
	if err := s.run(); err != nil {
		return island.words(b, err)
	}
	fmt.Fprintf(progress, "stall: loop lag p99 at most %g ms, pings p99 %.2f ms, %d publishes refused after %.0f ms at most; back after %.0f ms\n",
		s.r.During.Lag.P99, s.r.During.Pings.P99, s.r.During.Refused, s.r.During.Answers.Max, s.r.BackMS)
	r.Stall = s.r
	return nil
}

// halted is one of them under way.
type halted struct {
	plan   *clusterPlan
	b      *bench
	island *island
	r      *stallResult
	c      *crowd // the sockets that do nothing, and the publishers
	load   *paced
	pings  *pinger
	back   *publisher
	phase  *stallPhase // nil: between phases
	waits  []int64     // of the phase's refusals
}

func (s *halted) close() {
	if s.c != nil {
		s.c.between = nil
		s.c.close()
	}
	if s.pings != nil {
		s.pings.ps.close()
	}
}

func (s *halted) set() (err error) {
	p, node := s.plan, s.island.nodes[0]
	if s.c, err = newCrowd(s.b.ctx, node, waitSpin); err != nil {
		return err
	}
	s.c.sharing(stallChannel)
	if err := s.c.connect(p.idle, 64); err != nil {
		return err
	}
	if s.load, err = newPaced(s.c, p.stallCrew(), p.refusals, 0); err != nil {
		return err
	}
	s.load.shapes = spread(stallRefusals, func(i int) string { return fmt.Sprintf("bench-refused-%04d", i) }, eventBytes)
	crew, err := s.c.addPublishers(1)
	if err != nil {
		return err
	}
	s.back = crew[0]
	for _, one := range append(crew, s.load.crew...) {
		one.patient = true
	}
	s.c.onAnswer = s.answered
	if s.pings, err = newPinger(s.b.ctx, node, stallPingers, stallEvery); err != nil {
		return err
	}
	s.c.tolerant = true // a connection that ends is a finding
	s.c.between = func() error {
		if err := s.load.turn(); err != nil {
			return err
		}
		return s.pings.turn()
	}
	return nil
}

// answered books the answer to a publish.
func (s *halted) answered(p *publisher, refused bool) {
	at, ok := s.load.at(p.number)
	if s.phase == nil || p == s.back || !ok {
		return
	}
	s.phase.Published++
	if refused {
		s.phase.Refused++
		s.waits = append(s.waits, s.c.now()-at)
	}
}

func (s *halted) run() error {
	if err := s.set(); err != nil {
		return err
	}
	r := s.r
	s.load.start()
	s.pings.start()
	calm := time.Duration(stallCalm * float64(s.plan.stall))
	if err := s.watch(&r.Before, calm); err != nil {
		return err
	}
	if err := s.island.halt(); err != nil {
		return err
	}
	if err := s.watch(&r.During, s.plan.stall); err != nil {
		return err
	}
	s.load.stop()
	if err := s.island.goOn(); err != nil {
		return err
	}
	if err := s.returns(); err != nil {
		return err
	}
	r.Lost = s.c.lost + s.pings.lost
	if s.c.fault != nil {
		r.Reason = s.c.fault.Error()
	}
	return nil
}

// watch is one phase.
func (s *halted) watch(phase *stallPhase, d time.Duration) error {
	node := s.island.nodes[0]
	before, err := node.scrape(s.b.ctx)
	if err != nil {
		return err
	}
	s.phase, s.waits, s.pings.ns = phase, nil, nil
	end := s.c.now() + int64(d)
	if err := s.c.until(d+time.Minute, "a phase", func() bool { return s.c.now() >= end }); err != nil {
		return err
	}
	s.phase = nil
	after, err := node.scrape(s.b.ctx)
	if err != nil {
		return err
	}
	phase.Pings, phase.Answers = summary(s.pings.ns), summary(s.waits)
	phase.Lag, err = lagSince(before, after)
	return err
}

// returns publishes until an event has come to every socket again.
func (s *halted) returns() error {
	began := s.c.now()
	for number := 0; ; number++ {
		s.r.Attempts++
		s.c.received = 0
		refused := s.back.refused
		if err := s.back.publish(number); err != nil {
			return err
		}
		if err := s.c.until(broadcastTimeout, "an answer", func() bool { return !s.back.busy }); err != nil {
			return err
		}
		if s.back.refused == refused {
			break
		}
		end := s.c.now() + int64(stallBack)
		if err := s.c.until(time.Minute, "the next publish", func() bool { return s.c.now() >= end }); err != nil {
			return err
		}
	}
	err := s.c.until(broadcastTimeout, "an event for everybody", func() bool { return s.c.received >= s.c.subscribed })
	s.r.BackMS = float64(s.c.now()-began) / float64(time.Millisecond)
	return err
}
