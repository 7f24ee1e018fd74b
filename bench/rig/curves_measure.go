package main

import (
	"bytes"
	"fmt"
)

// memory gives the curves over connections, and for a server that has channels that over channels.
func (p *curvesPlan) memory(b *bench, t target) (map[string][]point, error) {
	shared, handshakes, err := p.steps(b, t, p.connections, nil)
	if err != nil {
		return nil, err
	}
	out := map[string][]point{curveHandshake: handshakes}
	for _, n := range p.connections {
		out[curveMemory] = append(out[curveMemory], point{float64(n), float64(shared[n]) / float64(n-curvesBase)})
	}
	if !t.pusher {
		return out, nil
	}
	own, _, err := p.steps(b, t, p.channels, func(i int) string { return fmt.Sprintf("bench-%026d", i) })
	if err != nil {
		return nil, fmt.Errorf("channels: %w", err)
	}
	for _, n := range p.channels {
		out[curveChannels] = append(out[curveChannels], point{float64(n), float64(own[n]-shared[n]) / float64(n-curvesBase)})
	}
	return out, nil
}

// steps connects more and more subscribers to one process. grown is how much its resident size is above that with
// curvesBase of them; each handshake's X is in the middle of the step in which its CPU time was counted.
func (p *curvesPlan) steps(b *bench, t target, to []int, channelOf func(int) string) (grown map[int]int64, handshakes []point, err error) {
	grown = map[int]int64{}
	err = b.withCrowd(t, func(c *crowd) error {
		c.channelOf = channelOf
		read := func() (memory, error) {
			if err := c.rest(p.settle); err != nil {
				return memory{}, err
			}
			return c.srv.memory()
		}
		if err := c.connect(curvesBase, 64); err != nil {
			return err
		}
		base, err := read()
		if err != nil {
			return err
		}
		before := curvesBase
		for _, n := range to {
			cpu, _, err := c.srv.used(func() error {
				if err := c.connect(n, 64); err != nil {
					return err
				}
				return c.rest(aftermath)
			})
			if err != nil {
				return err
			}
			handshakes = append(handshakes, point{float64(before+n) / 2, float64(cpu) / 1e3 / float64(n-before)})
			now, err := read()
			if err != nil {
				return err
			}
			grown[n], before = now.rss-base.rss, n
		}
		return nil
	})
	return grown, handshakes, err
}

// fanout gives the curve over subscribers of one channel.
func (p *curvesPlan) fanout(b *bench, t target) (map[string][]point, error) {
	var points []point
	err := b.withCrowd(t, func(c *crowd) error {
		var to *publisher
		number := 0
		for _, n := range p.subscribers {
			if err := c.connect(n, 64); err != nil {
				return err
			}
			if to == nil {
				var err error
				if to, err = c.addCalibrated(165); err != nil {
					return err
				}
				number = 1
			}
			s, next, err := p.deliver(c, to, number)
			if err != nil {
				return fmt.Errorf("%d subscribers: %w", n, err)
			}
			number = next
			points = append(points, point{float64(n), s.Value})
		}
		return nil
	})
	return map[string][]point{curveSubscribers: points}, err
}

// deliver warms up, then publishes one message after the other for the CPU time of one point.
func (p *curvesPlan) deliver(c *crowd, to *publisher, number int) (s sample, next int, err error) {
	if err := c.rest(aftermath); err != nil {
		return s, 0, err
	}
	for range warmBroadcasts {
		if err := c.broadcast(to, number); err != nil {
			return s, 0, err
		}
		number++
	}
	c.received, c.wireBytes = 0, 0
	cpu, ticks, err := c.srv.used(func() (err error) {
		number, err = c.broadcastFor(to, number, p.budget)
		return err
	})
	return c.deliveries(cpu, ticks), number, err
}

// delivery gives the curve over the size of a message.
func (p *curvesPlan) delivery(b *bench, t target) (map[string][]point, error) {
	var points []point
	err := b.withCrowd(t, func(c *crowd) error {
		if err := c.connect(p.sizeCrowd, 64); err != nil {
			return err
		}
		to, err := c.addCalibrated(165)
		if err != nil {
			return err
		}
		number := 1
		for _, size := range p.sizes {
			c.shape.padding = bytes.Repeat([]byte{'x'}, size-numberDigits)
			s, next, err := p.deliver(c, to, number)
			if err != nil {
				return fmt.Errorf("%d bytes: %w", size, err)
			}
			number = next
			points = append(points, point{float64(size), 1e6 / s.Value})
		}
		return nil
	})
	return map[string][]point{curveSizes: points}, err
}
