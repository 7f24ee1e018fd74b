package main

import (
	"fmt"
	"slices"
	"time"
)

const (
	warmBroadcasts   = 10
	broadcastTimeout = 30 * time.Second
	maxMessages      = 1 << 20 // of one run
)

// calibrate publishes one message without padding and chooses the shape whose frame has the wanted size.
func (c *crowd) calibrate(p *publisher, frameBytes, number int) error {
	// The floor is given a text with a seq; of a Pusher server the first message tells whether it adds one.
	c.shape = messageShape{channel: c.shape.channel, seq: !c.srv.target.pusher}
	c.received, c.wireBytes = 0, 0
	before := c.onMessage
	c.onMessage = func(_ *subscriber, text []byte, _ int) { _, c.shape.seq = messageSeq(text) }
	err := c.broadcast(p, number)
	if c.onMessage = before; err != nil {
		return fmt.Errorf("first message: %w", err)
	}
	c.shape.padding = sized(frameBytes, c.wireBytes/c.received)
	return nil
}

// addCalibrated adds a publishing connection and publishes message 0 by it, from which frames have the wanted size.
func (c *crowd) addCalibrated(frameBytes int) (*publisher, error) {
	crew, err := c.addPublishers(1)
	if err != nil {
		return nil, err
	}
	return crew[0], c.calibrate(crew[0], frameBytes, 0)
}

// broadcast publishes one message and waits until it is answered and every subscriber has it.
func (c *crowd) broadcast(p *publisher, number int) error {
	goal := c.received + c.subscribed
	if err := p.publish(number); err != nil {
		return err
	}
	return c.until(broadcastTimeout, "broadcast", func() bool { return c.received >= goal && !p.busy })
}

// measureFanout1 gives the row "fanout1": each message is published when all have the one before.
func measureFanout1(b *bench, t target) (out map[string]sample, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		number, p, err := c.gather(b, b.plan.Subscribers)
		if err != nil {
			return err
		}
		c.received, c.wireBytes = 0, 0
		cpu, ticks, err := c.srv.used(func() error {
			_, err := c.broadcastFor(p, number, b.plan.ServerCPU)
			return err
		})
		if err != nil {
			return err
		}
		out = map[string]sample{"fanout1": c.deliveries(cpu, ticks)}
		return nil
	})
	return out, err
}

// broadcastFor publishes one message after the other until the server has used budget. It returns the next number.
func (c *crowd) broadcastFor(p *publisher, number int, budget time.Duration) (int, error) {
	for end := int64(0); ; number++ {
		now, err := c.srv.cpu()
		if err != nil {
			return number, err
		}
		if end == 0 {
			end = now + int64(budget)
		}
		if now >= end {
			return number, nil
		}
		if err := c.broadcast(p, number); err != nil {
			return number, err
		}
	}
}

// measureFanout32 gives the row "fanout32". A message is under way from its publish call until the last subscriber has
// it and the call is answered; UnderWay of them are at every moment, each on a connection of its own, and a connection
// publishes its next one at once. Requests are signed ahead of time.
func measureFanout32(b *bench, t target) (out map[string]sample, err error) {
	err = b.withCrowd(t, func(c *crowd) error {
		number, _, err := c.gather(b, b.plan.Subscribers32)
		if err != nil {
			return err
		}
		crew, err := c.addPublishers(b.plan.UnderWay)
		if err != nil {
			return err
		}
		c.perMessage = make([]int32, maxMessages)
		defer func() { c.perMessage = nil }()
		if number, _, err = c.keepUnderWay(crew, number, int64(b.plan.ServerCPU)/10); err != nil { // warm
			return err
		}
		c.received, c.wireBytes = 0, 0
		sent := 0
		cpu, ticks, err := c.srv.used(func() error {
			_, sent, err = c.keepUnderWay(crew, number, int64(b.plan.ServerCPU))
			return err
		})
		if err != nil {
			return err
		}
		if want := sent * c.subscribed; c.received != want {
			return fmt.Errorf("%d messages received, %d expected", c.received, want)
		}
		out = map[string]sample{"fanout32": c.deliveries(cpu, ticks)}
		return nil
	})
	return out, err
}

// gather connects n subscribers to the shared channel, fits the message size and warms the path up.
// It returns the next message number and the publishing connection.
func (c *crowd) gather(b *bench, n int) (number int, p *publisher, err error) {
	if err := c.connect(n, b.plan.Concurrency); err != nil {
		return 0, nil, err
	}
	if err := c.rest(aftermath); err != nil {
		return 0, nil, err
	}
	if p, err = c.addCalibrated(b.plan.FrameBytes); err != nil {
		return 0, nil, err
	}
	for number = 1; number <= warmBroadcasts; number++ {
		if err := c.broadcast(p, number); err != nil {
			return 0, nil, err
		}
	}
	return number, p, nil
}

// keepUnderWay keeps one message of every publisher under way until the server has used budget ns of CPU, then lets the
// last ones arrive. It returns the next free number and how many messages were published.
func (c *crowd) keepUnderWay(crew []*publisher, number int, budget int64) (next, sent int, err error) {
	began, err := c.srv.cpu()
	if err != nil {
		return number, 0, err
	}
	for _, p := range crew {
		p.number = -1
		p.prepare(number)
		number++
	}
	free := func(p *publisher) bool {
		return !p.busy && (p.number < 0 || int(c.perMessage[p.number]) >= c.subscribed)
	}
	for {
		// All that are free go out before any input is handled; only then are their next requests built.
		first := sent
		var refill []*publisher
		for _, p := range crew {
			if free(p) {
				if err := p.publish(p.next); err != nil {
					return number, sent, err
				}
				refill = append(refill, p)
				sent++
			}
		}
		for _, p := range refill {
			p.prepare(number)
			number++
		}
		if sent == first {
			return number, sent, fmt.Errorf("no connection is free to publish")
		}
		if err := c.until(broadcastTimeout, "messages under way", func() bool { return slices.ContainsFunc(crew, free) }); err != nil {
			return number, sent, err
		}
		now, err := c.srv.cpu()
		if err != nil {
			return number, sent, err
		}
		if now-began >= budget || number > maxMessages-2*len(crew) {
			break
		}
	}
	err = c.until(broadcastTimeout, "the last messages under way", func() bool {
		return !slices.ContainsFunc(crew, func(p *publisher) bool { return !free(p) })
	})
	return number, sent, err
}

// deliveries turns what was received and used into a figure.
func (c *crowd) deliveries(cpu, ticks int64) sample {
	return sample{Value: float64(c.received) / seconds(cpu), Detail: map[string]float64{
		"ticks_per_s": float64(c.received) / seconds(ticks), "cpu_s": seconds(cpu), "deliveries": float64(c.received),
		"frame_bytes": float64(c.wireBytes) / float64(c.received),
	}}
}
