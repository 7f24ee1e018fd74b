package main

import (
	"fmt"
	"slices"
	"time"
)

// measureDurable gives the rows "durable" and "plain": publishes answered in a second on Publishing keep-alive
// connections, each with a channel of its own, signed, and published again as soon as the one before was answered. No
// channel has subscribers. Both in one process, plain first.
func measureDurable(b *bench, t target) (out map[string]sample, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		crew, err := c.addPublishers(b.plan.Publishing)
		if err != nil {
			return err
		}
		out = map[string]sample{}
		for _, kind := range []struct {
			row     string
			durable bool
		}{{"plain", false}, {"durable", true}} {
			for i, p := range crew {
				shape := messageShape{channel: fmt.Sprintf("bench-%d", i), durable: kind.durable}
				shape.padding = sized(b.plan.FrameBytes, len(shape.appendText(nil, 0))+2)
				p.shape = &shape
			}
			if _, err := c.publishFor(crew, b.plan.PublishFor/5); err != nil { // warm
				return fmt.Errorf("%s: %w", kind.row, err)
			}
			if out[kind.row], err = c.publishFor(crew, b.plan.PublishFor); err != nil {
				return fmt.Errorf("%s: %w", kind.row, err)
			}
		}
		return nil
	})
	return out, err
}

// publishFor keeps every publisher busy for d, then waits for the last answers. What was answered within d counts.
func (c *crowd) publishFor(crew []*publisher, d time.Duration) (sample, error) {
	answered := func() (n int) {
		for _, p := range crew {
			n += p.answers
		}
		return n
	}
	idle := func(p *publisher) bool { return !p.busy }
	busy := func(p *publisher) bool { return p.busy }
	number, before, counted := 0, answered(), 0
	began, end := c.now(), int64(0)
	cpu, _, err := c.srv.used(func() error {
		for c.now() < began+int64(d) {
			for _, p := range crew {
				if idle(p) {
					if err := p.publish(number); err != nil {
						return err
					}
					number++
				}
			}
			if err := c.until(broadcastTimeout, "an answer", func() bool { return slices.ContainsFunc(crew, idle) }); err != nil {
				return err
			}
		}
		counted, end = answered()-before, c.now()
		return c.until(broadcastTimeout, "the last answers", func() bool { return !slices.ContainsFunc(crew, busy) })
	})
	if err != nil {
		return sample{}, err
	}
	return sample{Value: float64(counted) / seconds(end-began), Detail: map[string]float64{
		"publishes": float64(counted), "cpu_us_each": float64(cpu) / 1e3 / float64(answered()-before),
	}}, nil
}
