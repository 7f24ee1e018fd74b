package redisbroker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// An incarnation is a node from its start, or from the moment that it found itself, or
// Redis, forgetful, on. It lives while its lease does:
//
//	{prefix}lease:I  string  lives for six tenths of redis.lease, renewed every second: 1,
//	                         or 0 when the node is about to end
//	{prefix}nodes    set     the incarnations that may be alive
//	{prefix}rooms:I  zset    keys of the channels in which I has, or had, members
//
// Any node that finds one without a lease removes its members. A node that was stopped
// for longer finds its lease gone, takes a new name and says again whom it has; so does
// one whose Redis has become another one, which may have lost what it was told.
//
// A node that ends is asked nothing any more, and its lease ends with the grace of those
// who leave: whoever comes to another node meanwhile has not left.
type lease struct {
	// Guarded by Broker.mu.
	name   string
	until  int64     // ms by Redis' clock: what is said later must not count
	held   time.Time // since when it was renewed without a failure; zero: it was not
	former []string  // names that this node had, whose members it removes itself
	reborn bool      // another name is to be taken: Redis has become another one
	anew   time.Time // when the present name took the place of another; zero: never
	seen   []string  // who was alive when this node looked last
}

// Values of a lease.
const (
	leaseHeld = "1" // also in renew.lua
	leaseEnds = "0"
)

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

// incarnate takes a new name. The lease comes first: a name without one is dead to all.
func (b *Broker) incarnate(ctx context.Context) error {
	name := newIncarnation()
	if err := b.client.Do(ctx, b.client.B().Set().Key(b.leaseKey(name)).Value(leaseHeld).Px(b.leaseTime()).Build()).Error(); err != nil {
		return unavailable(err)
	}
	until, err := b.prolong(ctx, name)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lease.name != "" {
		b.lease.former = append(b.lease.former, b.lease.name)
		b.lease.anew = time.Now()
	}
	b.lease.name, b.lease.until, b.lease.held, b.lease.reborn = name, until, time.Now(), false
	return nil
}

// prolong renews a lease and the name's place among the nodes, which Redis may have
// forgotten. errLease: it had ended. until is not 0 when only the second failed.
func (b *Broker) prolong(ctx context.Context, name string) (until int64, err error) {
	now, err := b.eval(ctx, b.client, renewScript, []call{{[]string{b.leaseKey(name)}, []string{ms(b.leaseTime())}}})[0].AsInt64()
	switch {
	case err != nil:
		return 0, unavailable(err)
	case now == 0:
		return 0, errLease
	}
	if err := b.client.Do(ctx, b.client.B().Sadd().Key(b.nodesKey()).Member(name).Build()).Error(); err != nil {
		return now + b.leaseTime().Milliseconds(), unavailable(err)
	}
	return now + b.leaseTime().Milliseconds(), nil
}

// renew prolongs this node's lease. One that has ended is not prolonged: others may have
// removed what it stood for.
func (b *Broker) renew(time.Time) {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	b.mu.Lock()
	name, over := b.lease.name, b.closed
	b.mu.Unlock()
	if over {
		return
	}
	until, err := b.prolong(ctx, name)
	b.mu.Lock()
	switch {
	case b.lease.name != name: // another name was taken meanwhile
	case until == 0:
		b.lease.held = time.Time{}
	default:
		b.lease.until = until
		if b.lease.held.IsZero() {
			b.lease.held = time.Now()
		}
	}
	reborn := b.lease.reborn
	b.mu.Unlock()
	switch {
	case errors.Is(err, errLease):
		b.stats.forgotten.Add(1)
		b.logger.Warn("this node's lease had ended: it says again who is here (redis.lease)", "lease", b.conf.Lease)
		b.rebirth(ctx)
	case reborn && err == nil:
		b.rebirth(ctx)
	}
}

// resignTime bounds how long the end of a node waits for Redis.
const resignTime = 500 * time.Millisecond

// resign tells that this node ends.
func (b *Broker) resign() {
	ctx, cancel := context.WithTimeout(b.ctx, resignTime)
	defer cancel()
	b.mu.Lock()
	name := b.lease.name
	b.mu.Unlock()
	err := b.client.Do(ctx, b.client.B().Set().Key(b.leaseKey(name)).Value(leaseEnds).Xx().Px(leaveGrace).Build()).Error()
	if err != nil && !rueidis.IsRedisNil(err) {
		b.logger.Warn("the other nodes are not told that this one ends: they find out (redis.lease)", "lease", b.conf.Lease, "err", err)
	}
}

// rebirth takes another name and has everybody said again under it.
func (b *Broker) rebirth(ctx context.Context) {
	b.mu.Lock()
	over := b.closed
	b.mu.Unlock()
	if over || b.incarnate(ctx) != nil {
		return // the next renewal tries again
	}
	b.mu.Lock()
	b.sayLocked()
	b.mu.Unlock()
}

// changed is called when a server is another one than before: restarted, or a replica that
// was promoted. Both may have lost who came and who went.
func (b *Broker) changed() {
	b.mu.Lock()
	b.lease.reborn = true // until it is: the next renewals try again
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	b.rebirth(ctx)
}

// sayLocked has whatever Redis was not told said again.
func (b *Broker) sayLocked() {
	select {
	case b.saying <- struct{}{}:
	default:
	}
}

// sayers is how many claims are said at once.
const sayers = 64

// say says again what Redis was not told, until nothing is left. The lease is renewed
// meanwhile: this may be a hundred thousand claims.
func (b *Broker) say() {
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.saying:
		}
		for !b.sayAll() {
			select {
			case <-b.ctx.Done():
				return
			case <-time.After(leaseEvery):
			}
		}
	}
}

// sayAll says what lacks, and then removes what was said under former names. false: some
// of it could not be said.
func (b *Broker) sayAll() bool {
	var lacks queue[*claim]
	b.mu.Lock()
	former := slices.Clone(b.lease.former)
	s := scan{b: b}
	for _, room := range b.claims {
		for _, c := range room {
			if c.let && (c.conns > 0 || c.parts) && c.entered != b.lease.name {
				lacks.push(c)
			}
			s.nextLocked()
		}
	}
	b.mu.Unlock()
	said := true
	for some := lacks.take(queuePart); len(some) > 0; some = lacks.take(queuePart) {
		// Whoever was there already is not one too many.
		said = each(sayers, some, func(_ int, c *claim) error { return b.announce(c, maxSeq) }) == nil && said
	}
	if !said {
		return false
	}
	for _, name := range former {
		if !b.reap(name) {
			return false
		}
		b.mu.Lock()
		b.lease.former = slices.DeleteFunc(b.lease.former, func(other string) bool { return other == name })
		b.mu.Unlock()
	}
	return true
}

// leases lists the incarnations that hold a lease, and those that have none any more.
func (b *Broker) leases(ctx context.Context) (alive, dead []string, err error) {
	nodes, err := b.client.Do(ctx, b.client.B().Smembers().Key(b.nodesKey()).Build()).AsStrSlice()
	if err != nil {
		return nil, nil, unavailable(err)
	}
	asked := make([]rueidis.Completed, len(nodes))
	for i, node := range nodes {
		asked[i] = b.client.B().Get().Key(b.leaseKey(node)).Build()
	}
	if len(asked) == 0 {
		return nil, nil, nil
	}
	for i, r := range b.client.DoMulti(ctx, asked...) {
		switch value, err := r.ToString(); {
		case rueidis.IsRedisNil(err):
			dead = append(dead, nodes[i])
		case err != nil:
			return nil, nil, unavailable(err)
		case value != leaseEnds:
			alive = append(alive, nodes[i])
		}
	}
	return alive, dead, nil
}

// lookRound removes the members of incarnations whose lease has ended, and tells of those
// that have gone. Only who has held its own lease for as long as one lives knows that it
// was not Redis that was away: after that all leases have ended, and nobody has gone.
func (b *Broker) lookRound(now time.Time) {
	ctx, cancel := context.WithTimeout(b.ctx, min(b.conf.PublishTimeout, b.leaseTime()/2))
	defer cancel()
	b.mu.Lock()
	self, held, former := b.lease.name, b.lease.held, slices.Clone(b.lease.former)
	b.mu.Unlock()
	alive, dead, err := b.leases(ctx)
	if err != nil || !slices.Contains(alive, self) {
		return
	}
	b.mu.Lock()
	// Otherwise the answers waited for Redis longer than leases live.
	sure := !held.IsZero() && now.Sub(held) >= b.leaseTime()+leaseEvery && b.lease.name == self && b.lease.held.Equal(held)
	gone := slices.ContainsFunc(b.lease.seen, func(node string) bool { return !slices.Contains(alive, node) })
	anew := len(b.lease.seen) > 0 && !slices.Contains(b.lease.seen, self)
	b.lease.seen = alive
	b.mu.Unlock()
	for _, node := range dead {
		if sure && !slices.Contains(former, node) {
			b.reap(node)
		}
	}
	if gone || anew {
		b.receiver.Gone(anew)
	}
}

// reap removes the members of one incarnation. Any node may do so, and several at once:
// each begins at a place of its own, and what one has done the others find done.
func (b *Broker) reap(node string) bool {
	ask, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	rooms, err := b.client.Do(ask, b.client.B().Zrange().Key(b.roomsKey(node)).Min("0").Max("-1").Build()).AsStrSlice()
	if err != nil {
		return false
	}
	mathrand.Shuffle(len(rooms), func(i, j int) { rooms[i], rooms[j] = rooms[j], rooms[i] })
	if each(sayers, rooms, func(_ int, key string) error { return b.reapRoom(node, key) }) != nil {
		return false // the next look goes on
	}
	end, stop := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer stop()
	if b.client.Do(end, b.client.B().Srem().Key(b.nodesKey()).Member(node).Build()).Error() != nil {
		return false
	}
	b.stats.reaped.Add(1)
	b.logger.Info("a node has gone, or has another name: what was said under this one was removed", "incarnation", node, "channels", len(rooms))
	return true
}

// reapRoom removes those whom an incarnation had in one channel.
func (b *Broker) reapRoom(node, key string) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	users, err := b.client.Do(ctx, b.client.B().Smembers().Key(b.keys.of(key)+suffixNode+node).Build()).AsStrSlice()
	if err != nil {
		return unavailable(err)
	}
	if len(users) > 0 {
		if err := b.remove(ctx, key, node, users); err != nil {
			return err
		}
	}
	if err := b.client.Do(ctx, b.client.B().Zrem().Key(b.roomsKey(node)).Member(key).Build()).Error(); err != nil {
		return unavailable(err)
	}
	return nil
}

// forget takes the channels out of this incarnation's list in which nobody is any more.
func (b *Broker) forget(before time.Time) {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	b.mu.Lock()
	node := b.lease.name
	b.mu.Unlock()
	until := strconv.FormatInt(before.Unix(), 10)
	rooms, err := b.client.Do(ctx, b.client.B().Zrangebyscore().Key(b.roomsKey(node)).Min("-inf").Max(until).Build()).AsStrSlice()
	if err != nil {
		return
	}
	b.mu.Lock()
	s := scan{b: b}
	empty := slices.DeleteFunc(rooms, func(key string) bool {
		s.nextLocked()
		return len(b.claims[key]) > 0
	})
	b.mu.Unlock()
	for some := range slices.Chunk(empty, subscribeMost) {
		b.eval(ctx, b.client, forgetScript, []call{{[]string{b.roomsKey(node)}, append([]string{until}, some...)}})
	}
}
