package persist

import (
	"errors"
	"time"

	"github.com/holdfast-edge/holdfast/persist/segment"
)

const (
	// sweepEvery is how often files that nobody keeps any more are looked for.
	sweepEvery = 5 * time.Second
	// evictAtOnce is how many resident channels are looked at in one interval.
	evictAtOnce = 8192
	// headsAtOnce is how many heads on disk are looked at in one interval.
	headsAtOnce = 20_000
)

// headSweep is a walk over the heads on disk, in search of those that are too old.
type headSweep struct {
	running bool
	after   string    // where it stands
	begun   time.Time // when the last one began
	life    bool      // this walk has begun a new life already
}

// housekeeping is what the checkpointer does beside checkpoints.
func (k *checkpointer) housekeeping() {
	l := k.log
	now := l.cfg.Now()
	nowMS := millis(now)
	if err := l.ready(); err != nil {
		l.writeFailed("meta", err, nowMS)
	}
	for _, s := range l.shards {
		s.evict(nowMS, evictAtOnce)
		if l.broken.Load() > 0 {
			s.kick() // it tries to write again
		}
	}
	k.lowerMark()
	if l.lostHeads.Swap(false) {
		k.rewriteHeads()
	}
	if since := now.Sub(k.swept); since >= sweepEvery || since < 0 {
		k.swept = now
		l.cfg.Sleeper.Sleep()
		dropped, err := l.store.Retain(now)
		l.cfg.Sleeper.Awake()
		if err != nil {
			l.readFailed("retain", err)
		}
		l.stats.droppedFiles.Add(uint64(len(dropped)))
	}
	k.sweepHeads(now)
}

// lowerMark takes the mark away once every channel that handed out unlogged events
// has its new epoch on disk.
func (k *checkpointer) lowerMark() {
	l := k.log
	if !l.mark.stands() || l.broken.Load() > 0 || l.unready.Load() {
		return
	}
	if err := l.syncThrough(l.journal.Groups()); err != nil {
		return // tried again in the next interval
	}
	if err := l.mark.lower(func() bool { return l.broken.Load() == 0 }); err != nil {
		l.readFailed("mark", err)
	}
}

// sweepHeads forgets the heads of channels that have had no event for head_age. A
// channel without a head stands at the life's id, so the first one that is forgotten
// ends the life: an old position must never fit a channel that begins anew.
func (k *checkpointer) sweepHeads(now time.Time) {
	l, w := k.log, &k.heads
	if !w.running {
		if since := now.Sub(w.begun); since >= 0 && since < l.cfg.HeadAge/24 {
			return
		}
		*w = headSweep{running: true, begun: now}
	}
	old, next, err := l.store.OldHeads(w.after, millis(now.Add(-l.cfg.HeadAge)), headsAtOnce)
	if err != nil {
		l.readFailed("heads", err)
		w.running = false
		return
	}
	w.after, w.running = next, next != ""
	var drop []string
	for _, key := range old {
		if l.shardOf(key).find(key) == nil && !k.lastLives(key, now) {
			drop = append(drop, key)
		}
	}
	if len(drop) == 0 {
		return
	}
	if !w.life {
		if err := l.newLife(); err != nil {
			l.readFailed("meta", err)
			w.running = false
			return
		}
		w.life = true
	}
	if err := l.commit(&segment.Batch{DropHeads: drop}); err != nil {
		l.readFailed("heads", err)
		w.running = false
		return
	}
	l.store.ForgetBlocks()
	l.stats.droppedHeads.Add(uint64(len(drop)))
}

// lastLives tells whether a channel on disk still has a last event.
func (k *checkpointer) lastLives(key string, now time.Time) bool {
	h, ok, err := k.log.store.Head(key)
	if err != nil {
		return true // it is looked at again in the next walk
	}
	if !ok || h.Last == nil {
		return false
	}
	last, err := decodeLast(h.Last)
	return err == nil && last.live(millis(now))
}

// newLife gives channels without a head a new epoch. Heads keep theirs.
func (l *Log) newLife() error {
	m := *l.meta.Load()
	m.id = newEpoch()
	if err := writeMeta(l.cfg.FS, l.cfg.Dir, m); err != nil {
		return err
	}
	l.meta.Store(&m)
	l.info("channels that were idle for too long are forgotten", "life", m.id)
	return nil
}

// segmentDamaged is told by the store of a file that it has set aside. Events that
// are missing are found when they are read. Lost heads are not: every channel that
// is not resident has lost its position, and a new life begins.
func (l *Log) segmentDamaged(d segment.Damage) {
	l.stats.damaged.Add(1)
	l.warn("a file of the log is damaged and was set aside", "file", d.File, "aside", d.SetAside, "err", d.Err)
	if d.File != segment.HeadsFile {
		return
	}
	m := *l.meta.Load()
	m.id = newEpoch()
	l.meta.Store(&m)
	l.lostHeads.Store(true)
}

// rewriteHeads puts the resident heads back on disk after it has lost all.
func (k *checkpointer) rewriteHeads() {
	l := k.log
	if err := writeMeta(l.cfg.FS, l.cfg.Dir, *l.meta.Load()); err != nil {
		l.readFailed("meta", err)
		l.lostHeads.Store(true)
	}
	for _, s := range l.shards {
		s.flight.Lock()
		s.table.RLock()
		for _, c := range s.channels {
			c.mu.Lock()
			c.changes++
			c.mu.Unlock()
			s.list(c)
		}
		s.table.RUnlock()
		s.flight.Unlock()
	}
}

func (l *Log) checkpointFailed(err error) {
	if errors.Is(err, errStopped) {
		return
	}
	if !l.checkpointsFail.Swap(true) {
		l.warn("checkpoints fail; events stay in the journal and in memory", "err", err)
	}
}

func (l *Log) checkpointWorked() {
	if l.checkpointsFail.Load() && l.checkpointsFail.Swap(false) {
		l.info("checkpoints work again")
	}
}
