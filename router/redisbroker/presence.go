package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// Presence channels have in Redis, beside what all have:
//
//	{prefix}{{app:channel}}p    hash    user to the envelope that said that it came
//	{prefix}{{app:channel}}v    string  the version: one more for each who comes or goes
//	{prefix}{{app:channel}}n    set     incarnations that have somebody there
//	{prefix}{{app:channel}}n:I  set     users whom incarnation I has there
//
// A user is there while one incarnation has it. That is looked at whenever somebody
// leaves, and nothing is counted up and down.
const (
	suffixPeople  = "p"
	suffixVersion = "v"
	suffixNodes   = "n"
	suffixNode    = "n:"
)

// claim is a user that this node has in a channel. A user with several connections has
// one.
type claim struct {
	key    string
	member pusher.Member

	// op is held while Redis is told about the claim.
	op sync.Mutex

	// Guarded by Broker.mu.
	conns   int
	entered string          // the incarnation that Redis was told, for sure; "" = none
	let     bool            // Redis let the user in; what has to be said again is said of these
	tried   map[string]bool // incarnations that it may have been told
	ends    time.Time       // with conns 0: when the user leaves
	parts   bool            // it is in Broker.parting
}

// leaveGrace is how long a user may be away before the others are told: a page that is
// loaded anew, or whose network changes, causes no leaving and coming.
const leaveGrace = 2 * time.Second

// Enter implements router.Broker.
func (b *Broker) Enter(key string, m pusher.Member, most int) error {
	b.mu.Lock()
	c := b.claims[key][m.UserID]
	if c == nil {
		c = &claim{key: key, member: m, tried: map[string]bool{}}
		if b.claims[key] == nil {
			b.claims[key] = map[string]*claim{}
		}
		b.claims[key][m.UserID] = c
	}
	c.conns++
	b.mu.Unlock()
	err := b.announce(c, most)
	if err == nil {
		err = b.sees(key, m.UserID)
	}
	if err != nil {
		b.Leave(key, m.UserID)
	}
	return err
}

// Leave implements router.Broker.
func (b *Broker) Leave(key, userID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.claims[key][userID]
	if c == nil {
		return
	}
	if c.conns--; c.conns == 0 {
		b.partLocked(c)
	}
}

// partLocked gives a claim that nobody holds its grace.
func (b *Broker) partLocked(c *claim) {
	c.ends = time.Now().Add(leaveGrace)
	if !c.parts {
		c.parts = true
		b.parting.push(c)
	}
}

// announce tells Redis of a claim, if it was not told under the present incarnation.
func (b *Broker) announce(c *claim, most int) error {
	c.op.Lock()
	defer c.op.Unlock()
	b.mu.Lock()
	node, until := b.lease.name, b.lease.until
	if c.entered == node || c.conns == 0 && !c.parts { // in the second case it has ended meanwhile
		b.mu.Unlock()
		return nil
	}
	c.tried[node] = true
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	// Whoever finds this incarnation dead must find the channel, so its name goes first.
	if err := b.client.Do(ctx, b.client.B().Zadd().Key(b.roomsKey(node)).ScoreMember().ScoreMember(float64(time.Now().Unix()), c.key).Build()).Error(); err != nil {
		return unavailable(err)
	}
	name := b.keys.of(c.key)
	r := b.eval(ctx, b.client, enterScript, []call{{
		peopleKeys(name, node), []string{c.member.UserID, b.sealed(c.key, kindJoined, memberText(c.member)), node, fmt.Sprint(most), b.publishCommand(), name, fmt.Sprint(until + b.skew())},
	}})[0]
	version, err := r.AsInt64()
	switch {
	case err != nil:
		return unavailable(err)
	case version == enterFull:
		return router.ErrPresenceFull
	case version == enterLate:
		return unavailable(errLease)
	}
	b.mu.Lock()
	c.let = true
	if c.entered = node; node != b.lease.name {
		b.sayLocked() // another name was taken meanwhile
	}
	b.mu.Unlock()
	// Who was said under an earlier name is now under this one.
	return b.retract(ctx, c, node)
}

// skew is by how much the clocks of servers may differ, in ms: a Cluster's lease is on one
// master and the channel on another.
func (b *Broker) skew() int64 {
	if b.address.Topology == redisurl.Cluster {
		return b.leaseTime().Milliseconds()
	}
	return 0
}

// What enter.lua answers instead of a version.
const (
	enterFull = -1
	enterLate = -2
)

// errLease: this node's lease has ended, and it is about to take another one.
var errLease = errors.New("redisbroker: the lease of this node has ended")

// retract takes a claim back under every name but one. The caller holds c.op.
func (b *Broker) retract(ctx context.Context, c *claim, but string) error {
	b.mu.Lock()
	var names []string
	for name := range c.tried {
		if name != but {
			names = append(names, name)
		}
	}
	b.mu.Unlock()
	for _, name := range names {
		if err := b.remove(ctx, c.key, name, []string{c.member.UserID}); err != nil {
			return err
		}
		b.mu.Lock()
		delete(c.tried, name)
		b.mu.Unlock()
	}
	return nil
}

func peopleKeys(name, node string) []string {
	return []string{name + suffixPeople, name + suffixVersion, name + suffixNodes, name + suffixNode + node}
}

// sees waits until this node's own list has a user: then whoever is told the list finds
// itself on it.
func (b *Broker) sees(key, user string) error {
	var listed *follow // on which the user was seen, at the change need
	var need uint64
	return b.await(key, func(f *follow) bool {
		if f.crowd.people == nil {
			return false
		}
		if _, there := f.crowd.people.by[user]; !there {
			return false
		}
		if listed != f {
			listed, need = f, f.crowd.stamp
		}
		return f.crowd.handed >= need // on the list, and told to this node
	})
}

// part tells Redis of the users whose grace is over.
func (b *Broker) part(now time.Time) {
	var due queue[*claim]
	b.mu.Lock()
	s := scan{b: b}
	for c := range b.parting.drain() {
		switch {
		case c.conns > 0:
			c.parts = false
		case now.Before(c.ends):
			b.parting.push(c)
		default:
			c.parts = false
			due.push(c)
		}
		s.nextLocked()
	}
	b.mu.Unlock()
	for some := due.take(queuePart); len(some) > 0; some = due.take(queuePart) {
		_ = each(readersMost, some, func(_ int, c *claim) error { // what fails is tried again
			b.withdraw(c)
			return nil
		})
	}
}

// withdraw ends a claim that nobody holds. What cannot be told now is tried again.
func (b *Broker) withdraw(c *claim) {
	c.op.Lock()
	defer c.op.Unlock()
	b.mu.Lock()
	if c.conns > 0 || c.parts { // it is held again, or has a new grace
		b.mu.Unlock()
		return
	}
	c.entered, c.let = "", false // whatever comes of it: who comes back says it again
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	err := b.retract(ctx, c, "")
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case c.conns > 0:
	case err != nil:
		b.partLocked(c)
	case b.claims[c.key][c.member.UserID] == c:
		delete(b.claims[c.key], c.member.UserID)
		if len(b.claims[c.key]) == 0 {
			delete(b.claims, c.key)
		}
	}
}

// remove takes users that an incarnation had out of a channel.
func (b *Broker) remove(ctx context.Context, key, node string, users []string) error {
	name := b.keys.of(key)
	args := []string{node, name + suffixNode, b.publishCommand(), name, ms(b.conf.HeadAge)}
	for _, user := range users {
		args = append(args, user, b.sealed(key, kindLeft, memberText(pusher.Member{UserID: user})))
	}
	if err := b.eval(ctx, b.client, leaveScript, []call{{peopleKeys(name, node), args}})[0].Error(); err != nil {
		return unavailable(err)
	}
	return nil
}
