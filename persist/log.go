package persist

import (
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/holdfast-edge/holdfast/persist/journal"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// Log is an open replay log. Its methods may be called by any goroutine.
type Log struct {
	// Immutable after Open.
	cfg     Config
	seed    maphash.Seed // of shardOf
	shards  []*shard
	store   *segment.Store
	journal *journal.Journal
	mark    *mark
	keys    keyTable
	syncs   *syncs
	keeper  checkpointer
	pass    sync.Mutex // held by the checkpointer at work: who holds it sees files at rest

	syncerDone, checkpointerDone chan struct{}
	stopSyncer, stopCheckpointer chan struct{}
	stopOpener                   chan struct{}
	opener                       sync.WaitGroup // of a log that stands by
	fill                         chan struct{}  // capacity 1: enough has gathered for a checkpoint

	// admit is held for reading while events are queued, and to close.
	admit  sync.RWMutex
	ending sync.Once

	// Atomic; any goroutine.
	closed          atomic.Bool
	standby         atomic.Bool // the files are not open
	meta            atomic.Pointer[meta]
	queued          admission
	durable         atomic.Int64 // durable events that were admitted and not handed out
	durableWaiting  atomic.Int64 // how many there may be
	unsaved         atomic.Int64 // bytes of the index
	unsavedEvents   atomic.Int64
	broken          atomic.Int64 // channels that have handed out unlogged events
	retryAt         atomic.Int64 // Unix ms; 0: the last write worked
	lostHeads       atomic.Bool
	unready         atomic.Bool // meta is not written yet
	checkpointsFail atomic.Bool
	stats           stats
}

const (
	journalDir  = "journal"
	segmentsDir = "segments"
)

// Open opens the log in cfg.Dir, or makes it. Damaged files are set aside, and the
// channels whose continuity cannot be proved any more have a new epoch.
func Open(cfg Config) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.FS = cfg.FS.OrOS()
	if cfg.Sleeper == nil {
		cfg.Sleeper = nobody{}
	} else {
		cfg.FS = told(cfg.FS, cfg.Sleeper)
	}
	if cfg.BootID == "" {
		cfg.BootID = bootID()
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("persist: %w", err)
	}
	l := &Log{
		cfg: cfg, seed: maphash.MakeSeed(), syncs: newSyncs(), fill: make(chan struct{}, 1),
		syncerDone: make(chan struct{}), checkpointerDone: make(chan struct{}),
		stopSyncer: make(chan struct{}), stopCheckpointer: make(chan struct{}), stopOpener: make(chan struct{}),
		mark: &mark{},
	}
	l.keys.fresh, l.keys.max = map[string]keyValue{}, cfg.IdempotencyKeys
	l.queued.maxEvents, l.queued.maxBytes = int64(cfg.QueueEvents), cfg.QueueBytes
	l.SetDurableWaiting(cfg.DurableWaiting)
	l.keeper.log = l
	l.stats.init()
	for i := range cfg.Shards {
		l.shards = append(l.shards, newShard(l, i))
	}
	if err := l.restore(false); err != nil {
		l.closeFiles()
		if !mayPass(err) {
			return nil, errors.Join(err, l.mark.close())
		}
		l.forget()
		l.standBy(err)
	} else {
		l.startKeepers()
	}
	for _, s := range l.shards {
		go s.run()
	}
	return l, nil
}

// startKeepers starts what works on open files.
func (l *Log) startKeepers() {
	go l.syncer()
	go l.keeper.run()
}

// openStore opens the segments.
func (l *Log) openStore() (damage []segment.Damage, err error) {
	c := l.cfg
	l.store, damage, err = segment.Open(segment.Config{
		Dir: filepath.Join(c.Dir, segmentsDir), SegmentBytes: c.SegmentBytes, SegmentAge: c.SegmentAge,
		DiskBytes: c.DiskBytes, CacheBytes: c.CacheBytes, KeepKeys: c.IdempotencyKeys,
		Logger: c.Logger, Damaged: l.segmentDamaged, Now: c.Now, Hooks: c.Hooks,
	})
	return damage, err
}

// shardOf is the sequencer of a channel.
func (l *Log) shardOf(key string) *shard {
	if len(l.shards) == 1 {
		return l.shards[0]
	}
	return l.shards[maphash.String(l.seed, key)%uint64(len(l.shards))]
}

func (l *Log) nowMS() int64 { return millis(l.cfg.Now()) }

// Append queues events, in order, all of them or none; each item is Done exactly
// once if there is no error. It never waits for a disk. See ErrBusy,
// ErrDurableUnavailable and ErrDurableWaiting.
func (l *Log) Append(events []Append) error {
	l.admit.RLock()
	defer l.admit.RUnlock()
	if l.closed.Load() {
		return ErrClosed
	}
	durable, size := int64(0), 0
	for i := range events {
		e := &events[i]
		if !validKey(e.Key) || len(e.Origin) > maxOrigin || len(e.IdemKey) > maxIdemKey || e.Item == nil {
			return fmt.Errorf("%w: channel %.40q", ErrBadAppend, e.Key)
		}
		if e.asksDurable() {
			durable++
		}
		size += e.size()
	}
	if durable > 0 {
		if l.standby.Load() || l.degraded(l.nowMS()) {
			l.stats.refused.Add(1)
			return ErrDurableUnavailable
		}
		if l.durable.Add(durable) > l.durableWaiting.Load() {
			l.durable.Add(-durable)
			l.stats.refused.Add(1)
			return ErrDurableWaiting
		}
	}
	if l.overrun() || !l.queued.take(len(events), size) {
		l.durable.Add(-durable)
		l.stats.refused.Add(1)
		return ErrBusy
	}
	switch {
	case len(events) == 1:
		l.shardOf(events[0].Key).enqueue(events)
	case len(l.shards) == 1:
		l.shards[0].enqueue(events)
	default:
		l.divide(events)
	}
	return nil
}

// divide queues a batch with each sequencer's part in one piece: nothing comes between the
// events of one channel.
func (l *Log) divide(events []Append) {
	var room [64]uint8
	of, used := room[:0], uint64(0)
	for i := range events {
		id := uint8(l.shardOf(events[i].Key).id) // 64 shards at most (Config.Shards)
		of = append(of, id)
		used |= 1 << id
	}
	for id, s := range l.shards {
		if used&(1<<id) != 0 {
			s.enqueueSome(events, of, uint8(id))
		}
	}
}

// overrun tells whether events come faster than a disk that works can take them.
// Refusing some is better then than breaking channels.
func (l *Log) overrun() bool {
	if l.standby.Load() || l.retryAt.Load() != 0 {
		return false
	}
	if l.journal.Unsynced() > journal.DefaultKeptBytes/2 {
		l.wantSync()
		return true
	}
	return l.unsaved.Load() > l.cfg.UnsavedBytes/4*3 && !l.checkpointsFail.Load()
}

// SetDurableWaiting replaces Config.DurableWaiting. Events that wait already stay.
func (l *Log) SetDurableWaiting(n int) { l.durableWaiting.Store(int64(n)) }

const maxIdemKey = 256

// admission bounds what waits for the sequencers.
type admission struct {
	maxEvents, maxBytes int64
	events, bytes       atomic.Int64
}

// take admits n events of size bytes together, if there is room. One that is larger
// than the bound is let in alone.
func (a *admission) take(n, size int) bool {
	events, bytes := a.events.Add(int64(n)), a.bytes.Add(int64(size))
	if events == int64(n) || events <= a.maxEvents && bytes <= a.maxBytes {
		return true
	}
	a.release(n, size)
	return false
}

func (a *admission) release(n, size int) {
	a.events.Add(-int64(n))
	a.bytes.Add(-int64(size))
}

// Close hands out what is queued, writes everything to the segments and closes the
// log: the next start finds it as it was left.
func (l *Log) Close() error {
	err := ErrClosed
	l.ending.Do(func() { err = l.close() })
	return err
}

func (l *Log) close() error {
	l.admit.Lock()
	l.closed.Store(true)
	l.admit.Unlock()
	close(l.stopOpener)
	l.opener.Wait()
	for _, s := range l.shards {
		s.close()
	}
	for _, s := range l.shards {
		<-s.stopped
	}
	if l.standby.Load() {
		return l.mark.close()
	}
	close(l.stopCheckpointer)
	<-l.checkpointerDone
	checkpointed := l.keeper.checkpoint(true)
	l.keeper.lowerMark()
	close(l.stopSyncer)
	<-l.syncerDone

	m := *l.meta.Load()
	errs := []error{checkpointed}
	if err := l.journal.Close(); err != nil || l.unready.Load() {
		errs = append(errs, err)
	} else {
		m.clean = true
	}
	errs = append(errs, l.store.Close(), l.mark.close())
	if m.clean {
		errs = append(errs, writeMeta(l.cfg.FS, l.cfg.Dir, m))
	}
	return errors.Join(errs...)
}

// closeFiles is for a restore that did not get through. The mark stays.
func (l *Log) closeFiles() {
	if l.journal != nil {
		_ = l.journal.Close()
	}
	if l.store != nil {
		_ = l.store.Close()
	}
	l.journal, l.store = nil, nil
}
