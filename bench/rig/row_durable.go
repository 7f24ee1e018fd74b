package main

import (
	"fmt"
	"slices"
	"time"
)

// measurePublishes gives the rows "durable" and "plain": publishes on Publishing keep-alive connections, each with a
// channel of its own, signed, and published again as soon as the one before was answered. No channel has subscribers.
// Both in one process, plain first. A durable publish waits for a disk, so it counts by the clock; what a plain one
// takes is the server's processor, so it counts by that.
func measurePublishes(b *bench, t target) (out map[string]sample, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		crew, err := c.addPublishers(b.plan.Publishing)
		if err != nil {
			return err
		}
		out = map[string]sample{}
		for _, kind := range []struct {
			row     string
			durable bool
			figure  func(published) float64
		}{{"plain", false, published.perCPUSecond}, {"durable", true, published.perSecond}} {
			if !slices.Contains(b.plan.Rows, kind.row) {
				continue
			}
			for i, p := range crew {
				shape := messageShape{channel: fmt.Sprintf("bench-%d", i), durable: kind.durable}
				shape.padding = sized(b.plan.FrameBytes, len(shape.appendText(nil, 0))+2)
				p.shape = &shape
			}
			if _, err := c.publishFor(crew, b.plan.PublishFor/5); err != nil { // warm
				return fmt.Errorf("%s: %w", kind.row, err)
			}
			done, err := c.publishFor(crew, b.plan.PublishFor)
			if err != nil {
				return fmt.Errorf("%s: %w", kind.row, err)
			}
			out[kind.row] = sample{Value: kind.figure(done), Detail: done.detail()}
		}
		return nil
	})
	return out, err
}

// published is what came of publishFor.
type published struct {
	answers, late int   // answered within the time; and after it, when no more were sent
	took, cpu     int64 // ns: until the last of answers; of the server's processor for all of them
}

func (p published) perSecond() float64 { return float64(p.answers) / seconds(p.took) }

func (p published) perCPUSecond() float64 { return float64(p.answers+p.late) / seconds(p.cpu) }

func (p published) detail() map[string]float64 {
	return map[string]float64{
		"publishes": float64(p.answers), "per_second": p.perSecond(), "cpu_us_each": 1e6 / p.perCPUSecond(),
	}
}

// publishFor keeps every publisher busy for d, then waits for the last answers. What was answered within d counts.
func (c *crowd) publishFor(crew []*publisher, d time.Duration) (published, error) {
	answered := func() (n int) {
		for _, p := range crew {
			n += p.answers
		}
		return n
	}
	idle := func(p *publisher) bool { return !p.busy }
	busy := func(p *publisher) bool { return p.busy }
	number, before := 0, answered()
	var out published
	cpu, _, err := c.srv.used(func() error {
		began := c.now()
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
		out.answers, out.took = answered()-before, c.now()-began
		return c.until(broadcastTimeout, "the last answers", func() bool { return !slices.ContainsFunc(crew, busy) })
	})
	out.late, out.cpu = answered()-before-out.answers, cpu
	return out, err
}
