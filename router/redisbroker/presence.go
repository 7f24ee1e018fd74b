package redisbroker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

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

// people is who is in a presence channel, as this node was told. Guarded by Broker.mu.
type people struct {
	version uint64 // as Redis counts; after it has forgotten it begins anew
	by      map[string]pusher.Member
}

// hasPeople tells whether a channel has a list of members.
func hasPeople(key string) bool {
	_, channel, _ := strings.Cut(key, string(separator))
	return pusher.KindOf(channel)&pusher.Presence != 0 || strings.HasPrefix(channel, router.OnlinePrefix)
}

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

// text of a message about a member: the user, a zero byte, and the info.
func memberText(m pusher.Member) []byte {
	return append(append([]byte(m.UserID), 0), m.Info...)
}

func readMember(text []byte) (pusher.Member, bool) {
	id, info, ok := bytes.Cut(text, []byte{0})
	if !ok || len(id) == 0 {
		return pusher.Member{}, false
	}
	m := pusher.Member{UserID: string(id)}
	if len(info) > 0 {
		m.Info = bytes.Clone(info)
	}
	return m, true
}

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
		b.parting = append(b.parting, c)
	}
}

// Members implements router.Broker.
func (b *Broker) Members(key string) (version uint64, list []pusher.Member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.follows[b.keys.of(key)]
	if f == nil || f.people == nil {
		return 0, nil
	}
	list = make([]pusher.Member, 0, len(f.people.by))
	for _, m := range f.people.by {
		list = append(list, m)
	}
	return f.stamp, list
}

// announce tells Redis of a claim, if it was not told under the present incarnation.
func (b *Broker) announce(c *claim, most int) error {
	c.op.Lock()
	defer c.op.Unlock()
	b.mu.Lock()
	node, until := b.lease.name, b.lease.until
	if c.entered == node {
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
		if f.people == nil {
			return false
		}
		if _, there := f.people.by[user]; !there {
			return false
		}
		if listed != f {
			listed, need = f, f.stamp
		}
		return f.handed >= need // on the list, and told to this node
	})
}

// part tells Redis of the users whose grace is over.
func (b *Broker) part(now time.Time) {
	b.mu.Lock()
	var due []*claim
	kept := b.parting[:0]
	for _, c := range b.parting {
		switch {
		case c.conns > 0:
			c.parts = false
		case now.Before(c.ends):
			kept = append(kept, c)
		default:
			c.parts = false
			due = append(due, c)
		}
	}
	clear(b.parting[len(kept):])
	b.parting = kept
	b.mu.Unlock()
	_ = each(readersMost, due, func(_ int, c *claim) error { // what fails is tried again
		b.withdraw(c)
		return nil
	})
}

// withdraw ends a claim that nobody holds. What cannot be told now is tried again.
func (b *Broker) withdraw(c *claim) {
	c.op.Lock()
	defer c.op.Unlock()
	b.mu.Lock()
	if c.conns > 0 {
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

// peopleOf reads who is in each of some channels.
func (b *Broker) peopleOf(ctx context.Context, client rueidis.CoreClient, list []*follow) (map[*follow]*people, error) {
	var calls []call
	var of []*follow
	for _, f := range list {
		if f.crowd {
			calls = append(calls, call{[]string{f.name + suffixPeople, f.name + suffixVersion}, nil})
			of = append(of, f)
		}
	}
	out := map[*follow]*people{}
	if len(calls) == 0 {
		return out, nil
	}
	for i, r := range b.eval(ctx, client, membersScript, calls) {
		fields, err := r.ToArray()
		if _, ok := rueidis.IsRedisErr(err); ok {
			continue // refused for this one
		}
		if err != nil {
			return nil, unavailable(err)
		}
		p, err := b.readPeople(of[i].key, fields)
		if err != nil {
			return nil, err
		}
		out[of[i]] = p
	}
	return out, nil
}

func (b *Broker) readPeople(key string, fields []rueidis.RedisMessage) (*people, error) {
	if len(fields)%2 != 1 {
		return nil, errAnswer
	}
	version, err := fields[0].AsInt64()
	if err != nil || version < 0 {
		return nil, errors.Join(errAnswer, err)
	}
	p := &people{version: uint64(version), by: map[string]pusher.Member{}}
	for i := 1; i < len(fields); i += 2 {
		user, _ := fields[i].ToString()
		raw, _ := fields[i+1].ToString()
		e, err := b.seal.open(key, []byte(raw))
		m, ok := readMember(e.text)
		if err != nil || !ok || e.kind != kindJoined || m.UserID != user {
			b.refuse(key, errors.Join(errEnvelope, err))
			continue
		}
		p.by[user] = m
	}
	return p, nil
}

// person hands out that a user came or went, if that is the next change. True means that
// it is not, and that the list must be read. The caller holds f.order.
func (b *Broker) person(f *follow, m *message) (ask bool) {
	who, ok := readMember(m.text)
	if !ok {
		b.refuse(f.key, errEnvelope)
		return false
	}
	b.mu.Lock()
	if f.people == nil || m.seq > f.people.version+1 {
		b.mu.Unlock()
		return !m.checked
	}
	if m.seq <= f.people.version {
		// One of before; the first of all may be the first after Redis forgot.
		anew := m.seq == 1 && f.people.version > 1
		b.mu.Unlock()
		return anew && !m.checked
	}
	f.people.version = m.seq
	f.stamp++
	stamp := f.stamp
	var joined []pusher.Member
	var left []string
	if m.kind == kindJoined {
		f.people.by[who.UserID] = who
		joined = append(joined, who)
	} else {
		delete(f.people.by, who.UserID)
		left = append(left, who.UserID)
	}
	b.mu.Unlock()
	b.present(f, stamp, joined, left)
	return false
}

// present hands out a change of a list. The caller holds f.order.
func (b *Broker) present(f *follow, stamp uint64, joined []pusher.Member, left []string) {
	if len(joined)+len(left) > 0 {
		b.receiver.Present(f.key, stamp, joined, left)
	}
	b.mu.Lock()
	f.handed = stamp
	b.mu.Unlock()
}

// gather replaces a channel's list by one that was read, and hands out what is different.
// The caller holds f.order.
func (b *Broker) gather(f *follow, now *people) {
	b.mu.Lock()
	before := f.people
	if before == nil {
		before = &people{}
	}
	// Redis has forgotten whom this node has there, and nobody else says it again.
	for user, c := range b.claims[f.key] {
		if _, ok := now.by[user]; !ok && c.conns > 0 && c.entered != "" {
			c.entered = ""
			b.sayLocked()
		}
	}
	if now.version < before.version && f.unsure.IsZero() {
		// Redis has forgotten. The nodes are about to tell it again whom they have, and until
		// they have had the time to, nobody is said to have gone.
		f.unsure = time.Now().Add(b.conf.Lease)
	}
	if time.Now().Before(f.unsure) {
		for user, m := range before.by {
			if _, ok := now.by[user]; !ok {
				now.by[user] = m
			}
		}
	} else {
		f.unsure = time.Time{}
	}
	f.people = now
	f.stamp++
	stamp := f.stamp
	b.mu.Unlock()
	var joined []pusher.Member
	var left []string
	for user, m := range now.by {
		if _, ok := before.by[user]; !ok {
			joined = append(joined, m)
		}
	}
	for user := range before.by {
		if _, ok := now.by[user]; !ok {
			left = append(left, user)
		}
	}
	b.present(f, stamp, joined, left)
}
