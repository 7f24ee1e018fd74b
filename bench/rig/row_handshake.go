package main

import "time"

const (
	warmHandshakes = 2000                   // before the first measured wave: code, heap and kernel caches are warm then
	aftermath      = 100 * time.Millisecond // after a wave, still charged: work that the server put off
)

// measureHandshake gives the row "handshake": CPU time of the server from the first connect of a wave to the last
// success frame, over the number of connections; several waves are added up. What ending the connections of the wave
// before costs is not in it: the next wave begins when the server has become quiet.
func measureHandshake(b *bench, t target) (out map[string]sample, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		if err := c.connect(warmHandshakes, b.plan.Concurrency); err != nil {
			return err
		}
		var total, ticks, wall int64
		for range b.plan.Waves {
			c.drop()
			if err := c.quiet(); err != nil {
				return err
			}
			began := c.now()
			cpu, coarse, err := c.srv.used(func() error {
				if err := c.connect(b.plan.Handshakes, b.plan.Concurrency); err != nil {
					return err
				}
				wall += c.now() - began
				return c.rest(aftermath)
			})
			if err != nil {
				return err
			}
			total, ticks = total+cpu, ticks+coarse
		}
		n := float64(b.plan.Waves * b.plan.Handshakes)
		out = map[string]sample{"handshake": {Value: float64(total) / 1e3 / n, Detail: map[string]float64{
			"ticks_us": float64(ticks) / 1e3 / n, "cpu_s": seconds(total), "per_wall_second": n / seconds(wall),
			"success_bytes": float64(c.success),
		}}}
		return nil
	})
	return out, err
}

// quiet waits until the server has used less than 1 % of its CPU for 200 ms.
func (c *crowd) quiet() error {
	const window = 200 * time.Millisecond
	calm := false
	return c.until(30*time.Second, "quiet", func() bool {
		if calm {
			return true
		}
		cpu, _, err := c.srv.used(func() error { time.Sleep(window); return nil })
		calm = err == nil && cpu < int64(window)/100
		return calm
	})
}
