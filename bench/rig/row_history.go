package main

import (
	"fmt"
	"time"
)

// putOff is how long after the last publish its CPU time still counts: the journal's sync and the checkpoint come up to
// 250 ms late.
const putOff = time.Second

// measureHistory gives the row "history": CPU time of a publish to HistorySubscribers on a holdfast with its defaults,
// over that on one that keeps no history; one message under way, frames of the same size. The two take turns within a
// run.
func measureHistory(b *bench, t target) (map[string]sample, error) {
	with, err := b.publishCost(t)
	if err != nil {
		return nil, fmt.Errorf("with history: %w", err)
	}
	without, err := b.publishCost(t.with(noHistory))
	if err != nil {
		return nil, fmt.Errorf("without history: %w", err)
	}
	if !with.seq || without.seq {
		return nil, fmt.Errorf("events have a seq: with history %v, without %v", with.seq, without.seq)
	}
	return map[string]sample{"history": {Value: with.micros / without.micros, Detail: map[string]float64{
		"with_us": with.micros, "without_us": without.micros, "with_frame_bytes": with.frameBytes, "without_frame_bytes": without.frameBytes,
		"with_publishes": float64(with.publishes), "without_publishes": float64(without.publishes),
	}}}, nil
}

// cost is what publishing took.
type cost struct {
	micros     float64 // CPU of one publish, all deliveries and what was put off included
	frameBytes float64
	publishes  int
	seq        bool // the events were numbered
}

// publishCost publishes to a crowd until the server has used ServerCPU.
func (b *bench) publishCost(t target) (out cost, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		number, p, err := c.gather(b, b.plan.HistorySubscribers)
		if err != nil {
			return err
		}
		first := number
		c.received, c.wireBytes = 0, 0
		cpu, _, err := c.srv.used(func() error {
			if number, err = c.broadcastFor(p, number, b.plan.ServerCPU); err != nil {
				return err
			}
			return c.rest(putOff)
		})
		if err != nil {
			return err
		}
		n := number - first
		out = cost{micros: float64(cpu) / 1e3 / float64(n), frameBytes: float64(c.wireBytes) / float64(c.received), publishes: n, seq: c.shape.seq}
		return nil
	})
	return out, err
}
