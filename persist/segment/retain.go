package segment

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Dropped is a file that Retain unlinked.
type Dropped struct {
	File    string
	Class   Class
	Bytes   int64
	Records uint64
	LastMS  int64
	Full    bool // for space, not for age
}

// Retain unlinks the files whose newest record is older than its class's age, then
// the oldest ones until all fit into DiskBytes. Files that took records for long
// enough are sealed first, so that a channel that fell silent does not keep them.
// It waits for the readers of a file before it unlinks it; they are inside for
// milliseconds.
func (s *Store) Retain(now time.Time) ([]Dropped, error) {
	s.write.Lock()
	defer s.write.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if len(s.missing) > 0 {
		s.openMissing()
	}
	for class, f := range s.active {
		if f != nil && (f.sealed || f.spoiled.Load() || s.aged(f, now)) {
			if !f.spoiled.Load() {
				s.sealFile(f)
			}
			s.active[class] = nil
		}
	}
	var dropped []Dropped
	for _, f := range s.files() {
		if !f.sealed || !s.expired(f, now) {
			continue
		}
		d, err := s.unlink(f)
		if err != nil {
			return dropped, err
		}
		dropped = append(dropped, d)
	}
	more, err := s.retainBytes()
	dropped = append(dropped, more...)
	if len(dropped) == 0 {
		return nil, err
	}
	if dirErr := syncDir(&s.cfg.Hooks, s.cfg.Dir); err == nil {
		err = dirErr
	}
	return dropped, err
}

func (s *Store) expired(f *segmentFile, now time.Time) bool {
	return f.sum.records == 0 || f.sum.lastMS < now.Add(-s.cfg.MaxAge[f.class]).UnixMilli()
}

// retainBytes unlinks sealed files, those with the oldest newest record first. The
// files that take records stay: together they are at most a quarter of DiskBytes.
func (s *Store) retainBytes() (dropped []Dropped, err error) {
	for s.diskBytes() > s.cfg.DiskBytes {
		var oldest *segmentFile
		for _, f := range s.files() {
			if f.sealed && (oldest == nil || f.sum.lastMS < oldest.sum.lastMS) {
				oldest = f
			}
		}
		if oldest == nil {
			return dropped, nil
		}
		d, err := s.unlink(oldest)
		if err != nil {
			return dropped, err
		}
		d.Full = true
		dropped = append(dropped, d)
	}
	return dropped, nil
}

func (s *Store) diskBytes() int64 {
	sum := s.heads.bytes()
	for _, f := range s.files() {
		sum += f.bytes.Load()
	}
	return sum
}

// unlink closes and removes a file. Who found it in the list before sees it empty.
func (s *Store) unlink(f *segmentFile) (Dropped, error) {
	name := filepath.Base(f.file.path)
	if err := s.cfg.Hooks.Step(StepUnlink, f.file.path); err != nil {
		return Dropped{}, fmt.Errorf("segment: unlink %s: %w", name, err)
	}
	s.unlist(f)
	if err := f.close(); err != nil {
		s.cfg.Logger("warn", "segment file did not close", "file", name, "err", err)
	}
	if err := os.Remove(f.file.path); err != nil {
		return Dropped{}, fmt.Errorf("segment: %w", err)
	}
	s.counters.dropped.Add(1)
	return Dropped{File: name, Class: f.class, Bytes: f.bytes.Load(), Records: f.sum.records, LastMS: f.sum.lastMS}, nil
}
