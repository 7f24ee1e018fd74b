package redisbroker

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router"
)

// compare looks at the heads of all channels that are live here: the loss of a channel's
// last event shows in no gap. It reads no more than tells whether something lacks, and runs
// no script: of a million channels that would be all that a Redis can do.
func (b *Broker) compare() {
	keep := b.keepsHeads(time.Now())
	lists := map[*lane][]*follow{}
	away := map[*lane]bool{} // in thirty seconds again, or when the connection stands
	b.mu.Lock()
	s := scan{b: b}
	for _, f := range b.follows {
		s.nextLocked()
		l := f.lane
		if f.stateLocked() != stateLive || !f.numbered && f.crowd == nil || away[l] {
			continue
		}
		if lists[l] = append(lists[l], f); len(lists[l]) == subscribeMost {
			b.mu.Unlock()
			away[l] = b.recheck(l, lists[l], keep) != nil
			lists[l] = lists[l][:0]
			b.mu.Lock()
		}
	}
	b.mu.Unlock()
	for l, list := range lists {
		if len(list) > 0 && !away[l] {
			_ = b.recheck(l, list, keep)
		}
	}
}

// keepsHeads tells whether heads have to be kept alive: of a channel that is followed the
// position does not end.
func (b *Broker) keepsHeads(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.kept) < b.conf.HeadAge/4 {
		return false
	}
	b.kept = now
	return true
}

// mark is as much of what Redis says about a channel as tells whether something lacks.
type mark struct {
	numbered bool
	at       router.Position // Epoch "" = it has no head any more
	replid   string          // of the server that wrote the head
	version  uint64          // of the list of members
	had      uint64          // the version that this node had before it asked
	fault    error           // it could not be asked
}

// recheck takes the channels back to reading that are not where Redis says. keep: their
// heads live on.
func (b *Broker) recheck(l *lane, list []*follow, keep bool) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.conf.PublishTimeout)
	defer cancel()
	marks := make([]mark, len(list))
	b.mu.Lock()
	for i, f := range list {
		marks[i].numbered = f.numbered
		if f.crowd != nil && f.crowd.people != nil {
			marks[i].had = f.crowd.people.version
		}
	}
	b.mu.Unlock()
	if err := b.mark(ctx, l.client(), list, marks, keep); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range list {
		if marks[i].fault == nil && f.lane == l && b.follows[f.name] == f && f.stateLocked() == stateLive && !marks[i].sameLocked(f) {
			b.stats.behind.Add(1)
			l.readLocked(f)
		}
	}
	return nil
}

// sameLocked tells whether a live follow is where Redis says.
func (m *mark) sameLocked(f *follow) bool {
	if m.numbered {
		// A head that another server wrote, or the same before it was restarted, has to be
		// looked at by the script (head.lua): it gets another epoch.
		known := f.lane.replid == "" || f.lane.replid == m.replid
		if f.at.Epoch != m.at.Epoch || f.at.Seq < m.at.Seq || !known {
			return false
		}
	}
	if f.crowd == nil {
		return true
	}
	// More than this node has is behind, less than it had is Redis that forgot.
	people := f.crowd.people
	return people != nil && m.version <= people.version && m.version >= m.had
}

// mark asks for marks. What is wrong with one channel is no other's matter.
func (b *Broker) mark(ctx context.Context, client rueidis.CoreClient, list []*follow, marks []mark, keep bool) error {
	var commands []rueidis.Completed
	var of []*mark
	var reads []func(*mark, rueidis.RedisResult) error
	ask := func(m *mark, command rueidis.Completed, read func(*mark, rueidis.RedisResult) error) {
		commands, of, reads = append(commands, command), append(of, m), append(reads, read)
	}
	for i, f := range list {
		if marks[i].numbered {
			ask(&marks[i], client.B().Hmget().Key(f.name+suffixHead).Field("e", "s", "q", "r").Build(), (*mark).readHead)
		}
		if marks[i].numbered && keep {
			ask(&marks[i], client.B().Pexpire().Key(f.name+suffixHead).Milliseconds(b.conf.HeadAge.Milliseconds()).Build(), (*mark).readNothing)
		}
		if f.crowd != nil {
			ask(&marks[i], client.B().Get().Key(f.name+suffixVersion).Build(), (*mark).readVersion)
		}
	}
	for i, r := range client.DoMulti(ctx, commands...) {
		if err := r.NonRedisError(); err != nil {
			return unavailable(err)
		}
		if err := reads[i](of[i], r); err != nil {
			of[i].fault = err
		}
	}
	return nil
}

func (m *mark) readNothing(r rueidis.RedisResult) error { return r.Error() }

// readHead reads epoch, start, seq and replid. All are nil when there is no head.
func (m *mark) readHead(r rueidis.RedisResult) error {
	fields, err := r.ToArray()
	if err != nil {
		return err
	}
	if len(fields) != 4 {
		return errHead
	}
	if fields[0].IsNil() {
		return nil
	}
	if m.at, err = readPlace(fields[:3]); err != nil {
		return err
	}
	m.replid, err = fields[3].ToString()
	return err
}

// readVersion reads the version of a list of members; nil is 0.
func (m *mark) readVersion(r rueidis.RedisResult) (err error) {
	m.version, err = r.AsUint64()
	if rueidis.IsRedisNil(err) {
		return nil
	}
	return err
}
