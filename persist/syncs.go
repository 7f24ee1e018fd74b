package persist

import (
	"errors"
	"sync"
	"time"
)

// syncs is the state of the journal's syncs, kept by the syncer, and where others
// wait for it.
type syncs struct {
	wanted chan struct{} // capacity 1

	mu       sync.Mutex
	changed  sync.Cond // on mu
	synced   uint64    // guarded by mu: every group up to it is on disk
	failed   uint64    // guarded by mu: groups up to it were not, when a sync failed last
	failures uint64    // guarded by mu: how often one has failed
	err      error     // guarded by mu: of the last failure
	stopped  bool      // guarded by mu: the syncer has ended
}

var errStopped = errors.New("persist: the log is closing")

func newSyncs() *syncs {
	s := &syncs{wanted: make(chan struct{}, 1)}
	s.changed.L = &s.mu
	return s
}

// state is what the sequencers go by: groups up to synced are safe, groups up to
// failed that are not were found unsafe by the last of failures failures.
func (s *syncs) state() (synced, failed, failures uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced, s.failed, s.failures
}

// cover tells whether the groups up to number are safe.
func (s *syncs) cover(number uint64) bool {
	synced, _, _ := s.state()
	return synced >= number
}

// wantSync asks for a sync soon. Any goroutine.
func (l *Log) wantSync() {
	select {
	case l.syncs.wanted <- struct{}{}:
	default:
	}
}

// syncThrough returns when the groups up to number are on disk, or a sync failed.
func (l *Log) syncThrough(number uint64) error {
	s := l.syncs
	s.mu.Lock()
	defer s.mu.Unlock()
	failures := s.failures
	for s.synced < number && s.failures == failures && !s.stopped {
		l.wantSync()
		s.changed.Wait()
	}
	switch {
	case s.synced >= number:
		return nil
	case s.failures != failures:
		return s.err
	default:
		return errStopped
	}
}

// syncer is the goroutine that syncs the journal: at once when somebody waits, else
// in every interval.
func (l *Log) syncer() {
	defer close(l.syncerDone)
	tick := time.NewTicker(l.cfg.SyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-l.syncs.wanted:
		case <-tick.C:
		case <-l.stopSyncer:
			l.syncs.mu.Lock()
			l.syncs.stopped = true
			l.syncs.changed.Broadcast()
			l.syncs.mu.Unlock()
			return
		}
		l.syncOnce()
	}
}

func (l *Log) syncOnce() {
	began := l.cfg.Now()
	before, _, _ := l.syncs.state()
	number, err := l.journal.Sync()
	s := l.syncs
	s.mu.Lock()
	if err != nil {
		s.failed, s.err = max(s.failed, number), err
		s.failures++
	} else {
		s.synced = max(s.synced, number)
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	if err != nil {
		l.writeFailed("sync", err, l.nowMS())
	} else if number > before {
		l.stats.syncs.observe(l.cfg.Now().Sub(began).Seconds())
	}
	if err != nil || number > before {
		for _, shard := range l.shards {
			shard.kick()
		}
	}
}
