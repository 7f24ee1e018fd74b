package main

import (
	"fmt"
	"slices"
	"time"
)

const (
	// putOff is how long after the last publish its CPU time still counts: the journal's sync and the checkpoint come up
	// to 250 ms late.
	putOff = 500 * time.Millisecond
	// historyPairs of phases are measured in one run, and each phase goes on until the server has used its share of
	// ServerCPU.
	historyPairs = 10

	plainChannel = "bench-plain"
	// historyRules keep no history of plainChannel, and the default one of all others.
	historyRules = "[[history]]\nmatch = \"" + plainChannel + "\"\nevents = 0\n[[history]]\nmatch = \"*\"\n"
)

// measureHistory gives the row "history": CPU time of a publish to HistorySubscribers on a channel with history, over
// that on one without, one message under way, frames of the same size. Both are channels of one process, and phases of
// the two follow each other: two processes of one build differ by more than history costs. The figure is the median of
// the quotients of pairs; every other pair begins with the plain channel, so that what drifts cancels out.
func measureHistory(b *bench, t target) (out map[string]sample, err error) {
	err = b.withCrowd(t.with(historyRules), func(c *crowd) error {
		plain, err := newCrowd(b.ctx, c.srv, c.wait)
		if err != nil {
			return err
		}
		defer plain.close()
		plain.sharing(plainChannel)
		with, without := &costs{c: c}, &costs{c: plain}
		for _, s := range []*costs{with, without} {
			if s.number, s.p, err = s.c.gather(b, b.plan.HistorySubscribers); err != nil {
				return err
			}
		}
		if !with.c.shape.seq || without.c.shape.seq {
			return fmt.Errorf("events have a seq: with history %v, without %v", with.c.shape.seq, without.c.shape.seq)
		}
		var quotients []float64
		for pair := range historyPairs {
			order := []*costs{with, without}
			if pair%2 == 1 {
				slices.Reverse(order)
			}
			for _, s := range order {
				if err := s.phase(b.plan.ServerCPU / (historyPairs / 2)); err != nil {
					return err
				}
			}
			quotients = append(quotients, with.last/without.last)
		}
		out = map[string]sample{"history": {Value: median(quotients), Detail: map[string]float64{
			"with_us": with.micros(), "without_us": without.micros(), "with_frame_bytes": with.frameBytes(), "without_frame_bytes": without.frameBytes(),
			"with_publishes": float64(with.publishes), "without_publishes": float64(without.publishes),
			"least": slices.Min(quotients), "most": slices.Max(quotients),
		}}}
		return nil
	})
	return out, err
}

// costs are what publishing to one channel took, in all phases.
type costs struct {
	c         *crowd
	p         *publisher
	number    int // of the next message
	cpu       int64
	publishes int
	received  int
	bytes     int
	last      float64 // CPU of one publish in the last phase, all deliveries and what was put off included. Unit: µs.
}

// phase publishes until the server has used budget.
func (s *costs) phase(budget time.Duration) error {
	first := s.number
	s.c.received, s.c.wireBytes = 0, 0
	cpu, _, err := s.c.srv.used(func() (err error) {
		if s.number, err = s.c.broadcastFor(s.p, s.number, budget); err != nil {
			return err
		}
		return s.c.rest(putOff)
	})
	if err != nil {
		return err
	}
	n := s.number - first
	s.cpu, s.publishes = s.cpu+cpu, s.publishes+n
	s.received, s.bytes = s.received+s.c.received, s.bytes+s.c.wireBytes
	s.last = float64(cpu) / 1e3 / float64(n)
	return nil
}

func (s *costs) micros() float64     { return float64(s.cpu) / 1e3 / float64(s.publishes) }
func (s *costs) frameBytes() float64 { return float64(s.bytes) / float64(s.received) }
