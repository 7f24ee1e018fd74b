package main

import "time"

// measureLatency gives the row "latency": broadcasts at a fixed rate to all subscribers; each reception counts with the
// time from the publish call to the return of the read(2) that brought it. All receptions of a run are one
// distribution. Two broadcasts go first, uncounted.
func measureLatency(b *bench, t target) (out map[string]sample, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		number, p, err := c.gather(b, b.plan.Subscribers)
		if err != nil {
			return err
		}
		all := newHistogram()
		var called int64
		counting := false
		c.onMessage = func(_ *subscriber, _ []byte, n int) {
			if counting {
				all.add(time.Duration(c.read - called))
			}
		}
		defer func() { c.onMessage = nil }()
		period := int64(time.Second) / int64(b.plan.PerSecond)
		next, late := c.now()+period, int64(0)
		for i := range b.plan.Broadcasts + 2 {
			p.prepare(number)
			if err := c.until(time.Minute, "pace", func() bool { return c.now() >= next }); err != nil {
				return err
			}
			counting = i >= 2
			called = c.now()
			late = max(late, called-next)
			// Complete before the next one is due, or the rate is not kept: then late says so.
			if err := c.broadcast(p, number); err != nil {
				return err
			}
			number++
			next += period
		}
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		out = map[string]sample{"latency": {Value: ms(all.quantile(0.99)), Detail: map[string]float64{
			"p50_ms": ms(all.quantile(0.50)), "p90_ms": ms(all.quantile(0.90)), "p999_ms": ms(all.quantile(0.999)),
			"max_ms": ms(all.max), "receptions": float64(all.total), "latest_call_ms": ms(time.Duration(late)),
		}}}
		return nil
	})
	return out, err
}
