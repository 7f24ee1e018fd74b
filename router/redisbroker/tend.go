package redisbroker

import (
	"context"
	"time"
)

// How often is done what is to be done again and again.
const (
	sweepEvery   = time.Second
	compareEvery = 30 * time.Second
	forgetEvery  = 10 * time.Minute
)

// compare looks at the heads of all channels that are live here: the loss of a channel's
// last event shows in no gap.
func (b *Broker) compare() {
	b.mu.Lock()
	lists := map[*lane][]*follow{}
	for _, f := range b.follows {
		if f.state == stateLive && (f.rule.Events > 0 || f.crowd) && f.lane != nil {
			lists[f.lane] = append(lists[f.lane], f)
		}
	}
	b.mu.Unlock()
	for l, list := range lists {
		for len(list) > 0 {
			n := min(len(list), subscribeMost)
			if b.recheck(l, list[:n]) != nil {
				break // in thirty seconds again, or when the connection stands
			}
			list = list[n:]
		}
	}
}

// recheck reads heads and takes the channels back to reading that are behind theirs.
func (b *Broker) recheck(l *lane, list []*follow) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	before := make([]uint64, len(list)) // versions of the lists of members
	b.mu.Lock()
	for i, f := range list {
		if f.people != nil {
			before[i] = f.people.version
		}
	}
	b.mu.Unlock()
	heads, err := b.heads(ctx, l.client(), list)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range list {
		if heads[i].fault != nil {
			continue
		}
		head, now := heads[i].at, heads[i].people
		same := head.Epoch == "" || f.at.Epoch == head.Epoch && f.at.Seq >= head.Seq
		// More than this node has is behind, less than it had is Redis that forgot.
		same = same && (now == nil || f.people != nil && now.version <= f.people.version && now.version >= before[i])
		if f.state != stateLive || f.lane != l || same {
			continue
		}
		b.stats.behind.Add(1)
		l.readLocked(f)
	}
	return nil
}
