package segment

import (
	"errors"
	"path/filepath"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
)

// One transaction takes at most this much, so that a large batch neither holds all
// its pages in memory nor outgrows a file.
const (
	maxPutRecords = 16384
	maxPutBytes   = 16 << 20
)

// Commit writes a batch: the segment files of its classes one after the other,
// then heads.db. When it returns nil all of it is on disk. Otherwise any part may
// be, and the caller repeats the same batch; a file whose write or sync failed is
// sealed and the repetition goes into a new one. After ErrFull nothing is sealed.
func (s *Store) Commit(b *Batch) error {
	if err := b.check(); err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	if s.closed {
		return ErrClosed
	}
	begun := s.cfg.Now()
	err := s.commit(b, begun)
	if err != nil {
		s.counters.failed.Add(1)
		return err
	}
	s.counters.commits.Add(1)
	s.counters.records.Add(uint64(len(b.Records)))
	s.counters.commitNS.Add(uint64(max(s.cfg.Now().Sub(begun), 0)))
	return nil
}

func (s *Store) commit(b *Batch, now time.Time) error {
	// heads.db first: its lock is that of the directory.
	if s.heads.file == nil {
		if err := s.reopenHeads(); err != nil {
			return err
		}
	}
	s.sorted = b.sorted(s.sorted[:0])
	defer clear(s.sorted)
	for rest := s.sorted; len(rest) > 0; {
		n := putSize(rest)
		if err := s.put(rest[:n], now); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if !b.touchesHeads() && b.DropKeysBefore == 0 {
		return nil
	}
	err := s.heads.commit(b)
	if errors.Is(err, ErrDamaged) {
		s.loseHeads(err)
	}
	return err
}

// reopenHeads tries again to open or make heads.db. Needs write.
func (s *Store) reopenHeads() error {
	_, err := s.heads.open()
	if errors.Is(err, ErrDamaged) {
		s.loseHeads(err)
	}
	return fullOr(err)
}

// putSize is how many of the records, from the first on, go into one transaction:
// those of one class, within the bounds.
func putSize(records []*Record) int {
	bytes := 0
	for i, r := range records {
		bytes += len(r.Key) + r.valueBytes()
		if i > 0 && (r.Class != records[0].Class || i >= maxPutRecords || bytes > maxPutBytes) {
			return i
		}
	}
	return len(records)
}

// put writes records of one class into the file that takes them.
func (s *Store) put(records []*Record, now time.Time) error {
	class := records[0].Class
	for attempt := 0; ; attempt++ {
		f, err := s.fileFor(class, now)
		if err != nil {
			return err
		}
		err = f.put(records, &s.scratch)
		switch {
		case err == nil || errors.Is(err, ErrFull):
			return err
		case errors.Is(err, bolterrors.ErrMaxSizeReached) && attempt == 0:
			// bbolt rolled back; the file is whole, only too small for this batch.
			s.sealFile(f)
		case errors.Is(err, ErrDamaged):
			s.active[class] = nil
			s.setAside(f, err)
			return err
		default:
			// What the disk holds of the last pages is not known. Without a footer the
			// file is walked before anybody trusts it again.
			f.sealed = true
			s.active[class] = nil
			s.cfg.Logger("error", "segment file is sealed after a failed write", "file", filepath.Base(f.file.path), "err", err)
			return err
		}
	}
}

// fileFor returns the file that takes the class's records now, a new one if the
// former is full, old, sealed or damaged.
func (s *Store) fileFor(class Class, now time.Time) (*segmentFile, error) {
	f := s.active[class]
	if f != nil && !f.sealed && !f.spoiled.Load() && f.bytes.Load() < s.cfg.SegmentBytes && !s.aged(f, now) {
		return f, nil
	}
	fresh, err := createSegment(&s.cfg, class, s.next, s.seed)
	if err != nil {
		return nil, err
	}
	s.next++
	if f != nil && !f.spoiled.Load() {
		s.sealFile(f)
	}
	s.active[class] = fresh
	s.enlist(fresh)
	return fresh, nil
}
