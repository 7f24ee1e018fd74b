package persist

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-edge/holdfast/persist/segment"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

// The checkpointer moves events from journal and index into the segments. It keeps
// to these, in this order:
//
//	C1  The journal is rotated, if it is to be, before anything is gathered: whatever
//	    lies in the parts up to the old one is in the index then.
//	C2  What was gathered is synced in the journal before it is committed, so that no
//	    crash leaves a segment with events that the journal does not have.
//	C3  It is visible before it is committed, so that the segments hold nothing that
//	    may still be withdrawn.
//	C4  An event leaves the index after the commit that has it, a part of the journal
//	    after the commits of everything that was gathered since it was closed.
type checkpointer struct {
	log *Log

	// Owned by the checkpointer's goroutine.
	work    []*channel // to be gathered
	taken   []taken    // gathered for the commit under way
	batch   segment.Batch
	through uint64    // parts that may be dropped when work is done
	rotated bool      // through is to be dropped
	rotate  bool      // the next checkpoint closes the part: older ones wait to be dropped
	swept   time.Time // when old files were last looked for
	heads   headSweep
}

// taken is what a commit holds of one channel.
type taken struct {
	c       *channel
	seq     uint64 // events up to it
	changes uint64
	whole   bool // nothing was left behind
}

var errSyncFailed = errors.New("persist: a sync failed during the checkpoint")

// run checkpoints in every interval, or sooner when enough has gathered.
func (k *checkpointer) run() {
	l := k.log
	defer close(l.checkpointerDone)
	tick := time.NewTicker(l.cfg.CheckpointInterval)
	defer tick.Stop()
	failed := false
	for {
		fill := l.fill
		if failed {
			fill = nil // a disk that fails is not asked more often for it
		}
		select {
		case <-fill:
		case <-tick.C:
		case <-l.stopCheckpointer:
			return
		}
		failed = !k.pass()
	}
}

// pass is one turn of the checkpointer.
func (k *checkpointer) pass() (worked bool) {
	l := k.log
	l.pass.Lock()
	defer l.pass.Unlock()
	err := k.checkpoint(false)
	if err != nil {
		l.checkpointFailed(err)
	} else {
		l.checkpointWorked()
	}
	k.housekeeping()
	return err == nil
}

// wantCheckpoint asks for a checkpoint before its time. Any goroutine.
func (l *Log) wantCheckpoint() {
	select {
	case l.fill <- struct{}{}:
	default:
	}
}

// checkpoint writes everything that is in the index now. rotate closes the journal's
// part whatever its size.
func (k *checkpointer) checkpoint(rotate bool) error {
	l := k.log
	if rotate || k.rotate || l.journal.Bytes() >= l.cfg.JournalBytes {
		through, err := l.journal.Rotate()
		if err != nil {
			return err
		}
		k.through, k.rotated, k.rotate = through, true, false
	}
	_, _, failures := l.syncs.state()
	l.barrier() // sequencers have dealt with the syncs that failed so far
	for _, s := range l.shards {
		s.flight.Lock()
		k.work = append(k.work, s.dirty...)
		clear(s.dirty)
		s.dirty = s.dirty[:0]
		s.flight.Unlock()
	}
	k.batch.Keys = l.keys.take()
	for {
		more := k.gather()
		err := k.commit(failures)
		k.release(err == nil)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	if k.rotated {
		if err := l.journal.Drop(k.through); err != nil {
			return err
		}
		k.rotated = false
	}
	return nil
}

// barrier returns once every sequencer has been between two groups and has handed
// out what the syncs so far allow.
func (l *Log) barrier() {
	for _, s := range l.shards {
		s.do(func() {})
	}
}

// gather fills the batch with up to a commit's worth of events, and tells whether
// there is more.
func (k *checkpointer) gather() (more bool) {
	limit := k.log.cfg.CheckpointEvents
	for len(k.work) > 0 && len(k.batch.Records) < limit {
		c := k.work[0]
		t := k.take(c, limit-len(k.batch.Records))
		k.taken = append(k.taken, t)
		if !t.whole {
			return true
		}
		k.work = k.work[1:]
	}
	if len(k.work) == 0 {
		k.work = nil
	}
	return len(k.work) > 0
}

// take adds up to limit events of a channel, and its head as they leave it.
func (k *checkpointer) take(c *channel, limit int) taken {
	c.shard.flight.Lock()
	defer c.shard.flight.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	t := taken{c: c, seq: c.saved, changes: c.changes, whole: true}
	state := c.next
	n := 0
	for i := range c.events {
		seq := c.first + uint64(i)
		if seq <= c.saved {
			continue
		}
		if n == limit {
			t.whole = false
			break
		}
		e := &c.events[i]
		t.seq = seq
		if e.withdrawn {
			continue
		}
		n++
		k.batch.Records = append(k.batch.Records, e.record(c.key, seq))
		state = headState{era: e.era, seq: seq, total: e.total, timeMS: e.timeMS, life: c.next.life, durable: e.durable}
	}
	if t.whole {
		state = c.next
		c.listed = false
	}
	k.batch.Heads = append(k.batch.Heads, c.headLocked(state))
	return t
}

// commit makes the batch safe: C2, C3, and the commit itself.
func (k *checkpointer) commit(failures uint64) error {
	l, b := k.log, &k.batch
	if len(b.Records)+len(b.Heads)+len(b.Keys) == 0 {
		return nil
	}
	if err := l.syncThrough(l.journal.Groups()); err != nil {
		return err
	}
	l.barrier()
	if _, _, now := l.syncs.state(); now != failures {
		return errSyncFailed // some of what was gathered may have been withdrawn
	}
	began := l.cfg.Now()
	b.DropKeysBefore = max(0, l.nowMS()-l.cfg.IdempotencyAge.Milliseconds())
	if err := l.commit(b); err != nil {
		l.stats.errors.count("commit", err)
		return fmt.Errorf("persist: commit: %w", err)
	}
	l.stats.commits.observe(l.cfg.Now().Sub(began).Seconds())
	l.stats.committed.Add(uint64(len(b.Records)))
	return nil
}

// release ends a commit: what it has is let go from the index; after a failure it is
// gathered again next time.
func (k *checkpointer) release(written bool) {
	l := k.log
	if !written {
		for _, t := range k.taken {
			k.relist(t.c)
		}
		for _, c := range k.work {
			k.relist(c)
		}
		k.work = nil
	} else {
		cost, events := int64(0), 0
		for _, t := range k.taken {
			c, n := t.c.settled(t)
			cost += c
			events += n
		}
		l.unsaved.Add(-cost)
		l.unsavedEvents.Add(-int64(events))
	}
	l.keys.giveBack(written)
	clear(k.taken)
	clear(k.batch.Records)
	clear(k.batch.Heads)
	k.taken = k.taken[:0]
	k.batch = segment.Batch{Records: k.batch.Records[:0], Heads: k.batch.Heads[:0]}
}

func (k *checkpointer) relist(c *channel) {
	c.shard.flight.Lock()
	defer c.shard.flight.Unlock()
	c.listed = false
	c.shard.list(c)
}

// settled notes that a commit has the channel up to t.
func (c *channel) settled(t taken) (cost int64, events int) {
	nowMS := c.shard.log.nowMS()
	c.mu.Lock()
	defer c.mu.Unlock()
	if invariant.On {
		invariant.Check(t.seq <= max(c.seen.seq, c.saved) || c.broken, "an invisible event was committed")
	}
	if nowMS-c.read.Load() <= c.shard.log.cfg.Resident.Milliseconds() {
		c.keepHotLocked(t.seq)
	}
	c.saved = max(c.saved, t.seq)
	c.written = t.changes
	return c.trimLocked(t.seq)
}

// keepHotLocked keeps what is about to leave the index for the readers that the
// channel has: full groups in the cache, the last one as the tail. mu is held.
func (c *channel) keepHotLocked(through uint64) {
	store := c.shard.log.store
	// Of a burst only what a reader may ask for next: others wait for this lock.
	begin := c.first
	if through > begin+keptHot {
		begin = through - keptHot
	}
	for at := begin; at <= through && c.holdsLocked(at); {
		if c.tail != nil && c.tail.Has(at) && c.tail.Has(min(through, groupEnd(at))) {
			at = c.tail.Last + 1
			continue
		}
		b := c.buildLocked(at, min(through, c.seen.seq))
		if b == nil {
			at++
			continue
		}
		store.Offer(b)
		c.keepLocked(b)
		at = b.Last + 1
	}
}

// keptHot is how many events of one channel a checkpoint keeps for its readers.
const keptHot = 16 * segment.GroupEvents

func groupEnd(seq uint64) uint64 {
	return (seq-1)/segment.GroupEvents*segment.GroupEvents + segment.GroupEvents
}
