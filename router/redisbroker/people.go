package redisbroker

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
)

// people is who is in a presence channel, as this node was told. Guarded by Broker.mu.
type people struct {
	version uint64 // as Redis counts; after it has forgotten it begins anew
	by      map[string]pusher.Member
}

// crowd is what a follow of a channel with a list of members has beside the others. Guarded
// by Broker.mu.
type crowd struct {
	people *people   // nil until it was read
	stamp  uint64    // changes of people
	handed uint64    // the last one that was handed out
	unsure time.Time // until when those are kept in people whom Redis forgot
}

// hasPeople tells whether a channel has a list of members.
func hasPeople(key string) bool {
	_, channel, _ := strings.Cut(key, string(separator))
	return pusher.KindOf(channel)&pusher.Presence != 0 || strings.HasPrefix(channel, router.OnlinePrefix)
}

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

// Members implements router.Broker.
func (b *Broker) Members(key string) (version uint64, list []pusher.Member) {
	name := b.keys.of(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.follows[name]
	if f == nil || f.crowd == nil || f.crowd.people == nil {
		return 0, nil
	}
	list = make([]pusher.Member, 0, len(f.crowd.people.by))
	for _, m := range f.crowd.people.by {
		list = append(list, m)
	}
	return f.crowd.stamp, list
}

// peopleOf reads who is in each of some channels.
func (b *Broker) peopleOf(ctx context.Context, client rueidis.CoreClient, list []*follow) (map[*follow]*people, error) {
	var calls []call
	var of []*follow
	for _, f := range list {
		if f.crowd != nil {
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
	crowd := f.crowd
	if crowd.people == nil || m.seq > crowd.people.version+1 {
		b.mu.Unlock()
		return !m.checked
	}
	if m.seq <= crowd.people.version {
		// One of before; the first of all may be the first after Redis forgot.
		anew := m.seq == 1 && crowd.people.version > 1
		b.mu.Unlock()
		return anew && !m.checked
	}
	crowd.people.version = m.seq
	crowd.stamp++
	stamp := crowd.stamp
	var joined []pusher.Member
	var left []string
	if m.kind == kindJoined {
		crowd.people.by[who.UserID] = who
		joined = append(joined, who)
	} else {
		delete(crowd.people.by, who.UserID)
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
	f.crowd.handed = stamp
	b.mu.Unlock()
}

// gather replaces a channel's list by one that was read, and hands out what is different.
// The caller holds f.order.
func (b *Broker) gather(f *follow, now *people) {
	b.mu.Lock()
	crowd := f.crowd
	before := crowd.people
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
	if now.version < before.version && crowd.unsure.IsZero() {
		// Redis has forgotten. The nodes are about to tell it again whom they have, and until
		// they have had the time to, nobody is said to have gone.
		crowd.unsure = time.Now().Add(b.conf.Lease)
		b.watchLocked(f)
	}
	if time.Now().Before(crowd.unsure) {
		for user, m := range before.by {
			if _, ok := now.by[user]; !ok {
				now.by[user] = m
			}
		}
	} else {
		crowd.unsure = time.Time{}
	}
	crowd.people = now
	crowd.stamp++
	stamp := crowd.stamp
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
