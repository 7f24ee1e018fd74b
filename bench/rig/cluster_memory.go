package main

import (
	"fmt"
	"io"
	"time"
)

const (
	channelsEach   = 100 // of one connection, and of one publish: limits.subscriptions, limits.event_channels
	holdingKept    = 100 // events of each of the channels that have some
	holdingWith    = 100 // channels that have some, at most
	subscribeMost  = 500 // channels of one SUBSCRIBE
	spreadCrew     = 8   // connections on which one event goes to every channel
	collectTimeout = time.Minute
)

// holdingResult is what Redis holds. Unit: bytes of used_memory each.
type holdingResult struct {
	Channels   int     `json:"channels"`
	NameBytes  int     `json:"channel_name_bytes"`
	RedisName  int     `json:"name_bytes_in_redis"` // with prefix and application: of its pub/sub channel
	Followed   float64 `json:"followed_channel_bytes"`
	Subscribed float64 `json:"bare_subscription_bytes"`
	Kept       int     `json:"kept_events"`
	EventBytes int     `json:"event_bytes"` // on the wire
	Event      float64 `json:"kept_event_bytes"`
}

// ownedChannel is the i-th channel of a client: 30 bytes, as a framework names a user's.
func ownedChannel(client, i int) string {
	return fmt.Sprintf("bench-App.Models.User.%05d-%02d", client, i)
}

// owned is the channel with a number among all clients'.
func owned(number int) string { return ownedChannel(number/channelsEach, number%channelsEach) }

// holding has a node follow channels with history that nobody has published to, publishes some events, and has a plain
// connection subscribe to as many names of the same length in another Redis.
func (p *clusterPlan) holding(b *bench, t target, r *clusterResult, progress io.Writer) error {
	h := &holdingResult{Channels: p.channels, NameBytes: len(owned(0)), EventBytes: eventBytes, Kept: min(p.channels, holdingWith) * holdingKept}
	err := b.withFollowers(t, "no", p.channels, func(f *followers) error {
		// The call is looked at before anything is counted: MONITOR has buffers, too. Its channel is none of the others.
		call, err := capture(f.island.redis, bareChannel, f.elsewhere)
		if err != nil {
			return err
		}
		h.RedisName = len(call.channel()) - len(bareChannel) + len(owned(0))
		used, err := p.growth(b, f.island.ask, f.follow)
		if err != nil {
			return err
		}
		h.Followed = float64(used) / float64(p.channels)
		used, err = p.growth(b, f.island.ask, func() error { return f.keep(min(p.channels, holdingWith), holdingKept) })
		h.Event = float64(used) / float64(h.Kept)
		return err
	})
	if err != nil {
		return err
	}
	if h.Subscribed, err = p.bareSubscriptions(b, h.RedisName); err != nil {
		return err
	}
	fmt.Fprintf(progress, "memory: %.0f B a followed channel, %.0f B a kept event; %.0f B a bare subscription\n", h.Followed, h.Event, h.Subscribed)
	r.Memory = h
	return nil
}

// growth is how much more Redis holds after work, each time after a quiet time. Unit: bytes.
func (p *clusterPlan) growth(b *bench, ask *redisConn, work func() error) (int64, error) {
	if err := pause(b.ctx, p.settle); err != nil {
		return 0, err
	}
	before, err := ask.used(b.ctx, p.apart)
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	if err := pause(b.ctx, p.settle); err != nil {
		return 0, err
	}
	after, err := ask.used(b.ctx, p.apart)
	return after - before, err
}

// keep publishes events on each of so many channels.
func (f *followers) keep(channels, events int) error {
	for number := range events {
		if err := f.publish(number, channels, f.nobody); err != nil {
			return err
		}
	}
	return nil
}

// bareSubscriptions is what a Redis holds of each channel that a plain connection subscribes to.
func (p *clusterPlan) bareSubscriptions(b *bench, nameBytes int) (each float64, err error) {
	rt, err := redisTarget("no")
	if err != nil {
		return 0, err
	}
	redis, err := startServer(b.ctx, rt, b.cpus.server, b.cpus.client)
	if err != nil {
		return 0, err
	}
	defer redis.stop()
	ask, err := redis.dialRedis()
	if err != nil {
		return 0, err
	}
	defer ask.close()
	bare, err := redis.dialRedis()
	if err != nil {
		return 0, err
	}
	defer bare.close()
	if err := bare.subscribe("bench-first"); err != nil { // what the first one takes is the connection's
		return 0, err
	}
	used, err := p.growth(b, ask, func() error {
		for from := 0; from < p.channels; from += subscribeMost {
			var names []string
			for i := from; i < min(from+subscribeMost, p.channels); i++ {
				names = append(names, fmt.Sprintf("%0*d", nameBytes, i))
			}
			if err := bare.subscribe(names...); err != nil {
				return err
			}
		}
		return nil
	})
	return float64(used) / float64(p.channels), err
}

// subscribe waits for all confirmations.
func (r *redisConn) subscribe(names ...string) error {
	if _, err := r.do(append([]string{"SUBSCRIBE"}, names...)...); err != nil {
		return err
	}
	for range len(names) - 1 {
		if _, err := r.reply(); err != nil {
			return fmt.Errorf("SUBSCRIBE: %w", err)
		}
	}
	return nil
}
