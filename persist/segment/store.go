package segment

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Store is an open directory of segment files.
type Store struct {
	// Immutable after Open.
	cfg      Config
	seed     uint64 // of hashKey, for the files that this run makes
	heads    *headsFile
	cache    *blockCache
	wasClean bool
	readOnly bool // Show: nothing on disk is changed

	// list holds the files in the order of their numbers. Readers take it as it is;
	// it is replaced under listMu, never changed.
	list   atomic.Pointer[[]*segmentFile]
	listMu sync.Mutex

	lacks atomic.Int64 // files that could not be opened: what a reader misses may be in them

	shut atomic.Bool // Close has begun: what a reader misses may be there

	// write is held by Commit, Retain and Close, and guards what follows.
	write   sync.Mutex
	closed  bool
	active  [Classes]*segmentFile // takes the records of its class; nil = none yet
	next    uint64                // number of the next file
	missing []missingFile         // could not be opened yet
	scratch arena
	sorted  []*Record

	counters counters
}

// WasClean tells whether the run before this one closed the store in order.
func (s *Store) WasClean() bool { return s.wasClean }

// HighestLife is the highest Life of the heads that were there at Open.
func (s *Store) HighestLife() uint32 { return s.heads.life.Load() }

// MayHaveHead tells from memory whether the channel can have a head on disk; false
// is certain. It never waits.
func (s *Store) MayHaveHead(key string) bool {
	return s.heads.mayHave(key)
}

// Head reads the channel's head.
func (s *Store) Head(key string) (Head, bool, error) {
	turn := s.heads.turn.Load()
	h, ok, err := s.heads.head(key)
	return h, ok, s.judgeHeads(turn, err)
}

// Lookup reads an idempotency key.
func (s *Store) Lookup(id []byte) (Key, bool, error) {
	turn := s.heads.turn.Load()
	k, ok, err := s.heads.lookup(id)
	return k, ok, s.judgeHeads(turn, err)
}

// Meta reads a named value.
func (s *Store) Meta(name string) ([]byte, bool, error) {
	turn := s.heads.turn.Load()
	v, ok, err := s.heads.meta(name)
	return v, ok, s.judgeHeads(turn, err)
}

// OldHeads looks at up to scan heads in the order of their keys, beginning behind
// after, and returns the channels whose last event is older than beforeMS. next is
// where to go on; "" = all were seen.
func (s *Store) OldHeads(after string, beforeMS int64, scan int) (old []string, next string, err error) {
	turn := s.heads.turn.Load()
	old, next, err = s.heads.old(after, beforeMS, scan)
	return old, next, s.judgeHeads(turn, err)
}

// judgeHeads replaces heads.db when a reader met damage in it, once: a reader whose
// error came from a file that was replaced meanwhile (turn) changes nothing.
func (s *Store) judgeHeads(turn uint64, err error) error {
	if s.shut.Load() && errors.Is(err, ErrUnavailable) {
		return ErrClosed
	}
	if errors.Is(err, ErrDamaged) && !s.readOnly {
		s.write.Lock()
		defer s.write.Unlock()
		if !s.closed && s.heads.turn.Load() == turn {
			s.loseHeads(err)
		}
	}
	return err
}

// loseHeads sets heads.db aside and goes on with an empty one. The files that take
// records are sealed: a channel may count from 1 again, and its new records must
// be in files of greater numbers than its former ones. Needs write.
func (s *Store) loseHeads(why error) {
	h := s.heads
	h.mu.Lock()
	former := h.file
	h.file = nil
	h.mu.Unlock()
	if former != nil {
		former.abandon()
	}
	s.sealActive()
	d := s.quarantine(h.path, why)
	if err := h.create(); err != nil {
		s.cfg.Logger("error", "heads.db cannot be made anew", "err", err)
	}
	s.report(d)
}

// report tells the caller of damage that was found after Open.
func (s *Store) report(d Damage) {
	s.counters.damaged.Add(1)
	s.cfg.Logger("error", "a damaged file was set aside", "file", d.File, "as", d.SetAside, "err", d.Err)
	s.cfg.Damaged(d)
}

// setAside takes a damaged segment out of use, once.
func (s *Store) setAside(f *segmentFile, why error) {
	if s.readOnly || !s.unlist(f) {
		return
	}
	f.spoiled.Store(true)
	s.report(s.quarantine(f.file.path, why))
	// Readers that are inside leave by themselves; a lock of bbolt that a panic left
	// taken must not hold anybody here.
	go func() {
		f.users.Lock()
		defer f.users.Unlock()
		f.gone = true
		f.file.abandon()
	}()
}

// unlist removes a file from the list and tells whether it was there.
func (s *Store) unlist(f *segmentFile) bool {
	s.listMu.Lock()
	defer s.listMu.Unlock()
	old := *s.list.Load()
	at := slices.Index(old, f)
	if at < 0 {
		return false
	}
	files := slices.Delete(slices.Clone(old), at, at+1)
	s.list.Store(&files)
	return true
}

// enlist puts a file into the list.
func (s *Store) enlist(f *segmentFile) {
	s.listMu.Lock()
	defer s.listMu.Unlock()
	files := append(slices.Clone(*s.list.Load()), f)
	slices.SortFunc(files, byNumber)
	s.list.Store(&files)
}

func (s *Store) files() []*segmentFile { return *s.list.Load() }

// Close seals the files that take records, leaves the clean mark, and closes all.
// It waits for readers that are inside.
func (s *Store) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.sealActive()
	s.shut.Store(true)
	err := s.closeFiles(true)
	s.cache.close()
	return err
}

func (s *Store) closeFiles(clean bool) error {
	var err error
	for _, f := range s.files() {
		err = errors.Join(err, f.close())
	}
	if s.heads != nil {
		err = errors.Join(err, s.heads.close(clean && err == nil))
	}
	return err
}

// sealActive ends the files that take records. Needs write.
func (s *Store) sealActive() {
	for class, f := range s.active {
		if f != nil {
			s.sealFile(f)
			s.active[class] = nil
		}
	}
}

// sealFile writes the footer. Without it the file is as good, only the next Open
// takes longer.
func (s *Store) sealFile(f *segmentFile) {
	if err := f.seal(); err != nil {
		s.counters.failed.Add(1)
		s.cfg.Logger("warn", "segment file is closed without a footer", "file", filepath.Base(f.file.path), "err", err)
	}
}

// aged tells whether the file has taken records for as long as its class allows.
func (s *Store) aged(f *segmentFile, now time.Time) bool {
	span := s.cfg.SegmentAge * classSpans[f.class]
	return now.UnixMilli()-f.born >= span.Milliseconds()
}
