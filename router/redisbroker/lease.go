package redisbroker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// An incarnation is a node from its start, or from the moment that it found itself
// forgotten, on. It lives while its lease does:
//
//	{prefix}lease:I  string  lives for six tenths of redis.lease, renewed every second
//	{prefix}nodes    set     the incarnations that may be alive
//	{prefix}rooms:I  zset    keys of the channels in which I has, or had, members
//
// Any node that finds one without a lease removes its members. A node that was stopped
// for longer finds its lease gone, takes a new name and says again whom it has.
type lease struct {
	name string // guarded by Broker.mu
}

// leaseEvery is how often a lease is renewed and others' are looked at.
const leaseEvery = time.Second

func newIncarnation() string {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

func (b *Broker) leaseKey(node string) string { return b.keys.prefix + "lease:" + node }
func (b *Broker) roomsKey(node string) string { return b.keys.prefix + "rooms:" + node }
func (b *Broker) nodesKey() string            { return b.keys.prefix + "nodes" }

// leaseTime is what a lease lives for: what is left of redis.lease is for being noticed
// and for the removal.
func (b *Broker) leaseTime() time.Duration { return b.conf.Lease * 6 / 10 }

// incarnate takes a new incarnation.
func (b *Broker) incarnate(ctx context.Context) error {
	name := newIncarnation()
	for _, r := range []rueidis.Completed{
		b.client.B().Sadd().Key(b.nodesKey()).Member(name).Build(),
		b.client.B().Set().Key(b.leaseKey(name)).Value("1").Px(b.leaseTime()).Build(),
	} {
		if err := b.client.Do(ctx, r).Error(); err != nil {
			return unavailable(err)
		}
	}
	b.mu.Lock()
	b.lease.name = name
	b.mu.Unlock()
	return nil
}

// renew prolongs the lease. One that has ended is not prolonged: others may have removed
// what it stood for.
func (b *Broker) renew() error {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	b.mu.Lock()
	name := b.lease.name
	b.mu.Unlock()
	err := b.client.Do(ctx, b.client.B().Set().Key(b.leaseKey(name)).Value("1").Xx().Px(b.leaseTime()).Build()).Error()
	if !rueidis.IsRedisNil(err) {
		return err
	}
	if err := b.incarnate(ctx); err != nil {
		return err
	}
	b.stats.forgotten.Add(1)
	b.logger.Warn("this node's lease had ended: it says again who is here (redis.lease)", "lease", b.conf.Lease)
	b.sayAgain()
	return nil
}

// sayAgain tells Redis of all claims under the new incarnation.
func (b *Broker) sayAgain() {
	b.mu.Lock()
	claims := make([]*claim, 0, len(b.claims))
	for _, c := range b.claims {
		if c.conns > 0 {
			claims = append(claims, c)
		}
	}
	b.mu.Unlock()
	slots := make(chan struct{}, readersMost)
	for _, c := range claims {
		slots <- struct{}{}
		b.run(func() {
			defer func() { <-slots }()
			// Whoever was there already is not one too many. What fails is tried when the next
			// lease is renewed, or the user's next connection comes.
			if b.announce(c, int(maxSeq)) != nil {
				b.mu.Lock()
				b.again = true
				b.mu.Unlock()
			}
		})
	}
}

// reapAll removes the members of incarnations whose lease has ended.
func (b *Broker) reapAll() {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.Lease)
	defer cancel()
	b.mu.Lock()
	self, again := b.lease.name, b.again
	b.again = false
	b.mu.Unlock()
	if again {
		b.sayAgain()
	}
	nodes, err := b.client.Do(ctx, b.client.B().Smembers().Key(b.nodesKey()).Build()).AsStrSlice()
	if err != nil {
		return
	}
	asked := make([]rueidis.Completed, len(nodes))
	for i, node := range nodes {
		asked[i] = b.client.B().Exists().Key(b.leaseKey(node)).Build()
	}
	if len(asked) == 0 {
		return
	}
	for i, r := range b.client.DoMulti(ctx, asked...) {
		lives, err := r.AsInt64()
		if err == nil && lives == 0 && nodes[i] != self {
			b.reap(ctx, nodes[i])
		}
	}
}

// reap removes the members of one incarnation. Any node may do so, and several at once.
func (b *Broker) reap(ctx context.Context, node string) {
	rooms, err := b.client.Do(ctx, b.client.B().Zrange().Key(b.roomsKey(node)).Min("0").Max("-1").Build()).AsStrSlice()
	if err != nil {
		return
	}
	for _, key := range rooms {
		users, err := b.client.Do(ctx, b.client.B().Smembers().Key(b.keys.of(key)+suffixNode+node).Build()).AsStrSlice()
		if err != nil || len(users) > 0 && b.remove(ctx, key, node, users) != nil {
			return // the next look goes on
		}
	}
	for _, c := range []rueidis.Completed{
		b.client.B().Del().Key(b.roomsKey(node)).Build(),
		b.client.B().Srem().Key(b.nodesKey()).Member(node).Build(),
	} {
		if b.client.Do(ctx, c).Error() != nil {
			return
		}
	}
	b.stats.reaped.Add(1)
	b.logger.Info("a node has gone: its members were removed", "incarnation", node, "channels", len(rooms))
}

// forget takes the channels out of this incarnation's list in which nobody is any more.
func (b *Broker) forget(before time.Time) {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	b.mu.Lock()
	node, used := b.lease.name, map[string]bool{}
	for id := range b.claims {
		used[id.key] = true
	}
	b.mu.Unlock()
	until := strconv.FormatInt(before.Unix(), 10)
	rooms, err := b.client.Do(ctx, b.client.B().Zrangebyscore().Key(b.roomsKey(node)).Min("-inf").Max(until).Build()).AsStrSlice()
	if err != nil {
		return
	}
	empty := slices.DeleteFunc(rooms, func(key string) bool { return used[key] })
	for some := range slices.Chunk(empty, subscribeMost) {
		b.eval(ctx, b.client, forgetScript, []call{{[]string{b.roomsKey(node)}, append([]string{until}, some...)}})
	}
}
