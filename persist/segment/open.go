package segment

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Open opens the directory, or makes it. Damaged files are set aside and returned;
// they are no error. Nor is a file that cannot be opened now, or a disk that cannot
// be written: the store does without, answers ErrUnavailable where it matters, and
// tries again with each Commit (heads.db) and Retain (segments). It refuses a
// directory that is in use.
func Open(cfg Config) (*Store, []Damage, error) {
	cfg, err := cfg.prepared()
	if err != nil {
		return nil, nil, err
	}
	s := &Store{cfg: cfg, seed: randomSeed(), next: 1}
	s.list.Store(&[]*segmentFile{})
	damage, err := s.openHeads()
	if err != nil {
		return nil, nil, err
	}
	// From here on heads.db is locked: nobody else works in the directory.
	found, err := s.openSegments()
	damage = append(damage, found...)
	if err == nil {
		s.cache, err = newBlockCache(cfg.CacheBytes, s.seed)
	}
	if err != nil {
		_ = s.closeFiles(false)
		return nil, damage, err
	}
	for _, d := range damage {
		s.counters.damaged.Add(1)
		cfg.Logger("error", "a damaged file was set aside", "file", d.File, "as", d.SetAside, "err", d.Err)
	}
	return s, damage, nil
}

func randomSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

func (s *Store) openHeads() ([]Damage, error) {
	var damage []Damage
	s.heads = &headsFile{cfg: &s.cfg, path: filepath.Join(s.cfg.Dir, HeadsFile), seed: s.seed}
	if s.headsAreMissing() {
		damage = append(damage, Damage{File: HeadsFile, Err: damaged(s.heads.path, "it is missing")})
	}
	clean, err := s.heads.open()
	if errors.Is(err, ErrDamaged) {
		damage = append(damage, s.quarantine(s.heads.path, err))
		clean, err = s.heads.open()
	}
	if errors.Is(err, ErrInUse) {
		return damage, err
	}
	if err != nil {
		s.counters.failed.Add(1)
		s.cfg.Logger("error", "the log does without heads.db, which cannot be opened", "err", err)
	}
	s.wasClean = clean
	return damage, nil
}

// headsAreMissing: there are segments, and no heads.db beside them.
func (s *Store) headsAreMissing() bool {
	if _, err := os.Stat(s.heads.path); err == nil {
		return false
	}
	entries, _ := os.ReadDir(s.cfg.Dir)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		_, _, whole, ok := parseSegmentName(e.Name())
		return ok && whole
	})
}

// openSegments opens what earlier runs left, two files at a time: a walk waits for
// the disk as much as for the processor.
func (s *Store) openSegments() ([]Damage, error) {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("segment: %w", err)
	}
	type opened struct {
		missingFile
		file *segmentFile
		err  error
	}
	var results []*opened
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == newSuffix {
			_ = os.Remove(filepath.Join(s.cfg.Dir, e.Name()))
			continue
		}
		class, number, whole, ok := parseSegmentName(e.Name())
		if !ok {
			continue
		}
		s.next = max(s.next, number+1)
		if !whole {
			continue
		}
		r := &opened{missingFile: missingFile{class, number}}
		results = append(results, r)
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r.file, r.err = openSegment(&s.cfg, class, number, s.seed, true)
		})
	}
	wg.Wait()
	var damage []Damage
	var files []*segmentFile
	for _, r := range results {
		switch {
		case errors.Is(r.err, ErrDamaged):
			damage = append(damage, s.quarantine(filepath.Join(s.cfg.Dir, segmentName(r.class, r.number)), r.err))
		case r.err != nil:
			s.missing = append(s.missing, r.missingFile)
			s.counters.failed.Add(1)
			s.cfg.Logger("error", "the log does without a segment file, which cannot be opened", "err", r.err)
		default:
			files = append(files, r.file)
		}
	}
	s.lacks.Store(int64(len(s.missing)))
	s.list.Store(&files)
	s.sortFiles()
	return damage, nil
}

// missingFile is there and could not be opened.
type missingFile struct {
	class  Class
	number uint64
}

// openMissing tries again to open what could not be opened. Needs write.
func (s *Store) openMissing() {
	s.missing = slices.DeleteFunc(s.missing, func(m missingFile) bool {
		f, err := openSegment(&s.cfg, m.class, m.number, s.seed, true)
		switch {
		case errors.Is(err, ErrDamaged):
			s.report(s.quarantine(filepath.Join(s.cfg.Dir, segmentName(m.class, m.number)), err))
		case err != nil:
			return false
		default:
			s.enlist(f)
		}
		return true
	})
	s.lacks.Store(int64(len(s.missing)))
}

// sortFiles is for a list that nobody reads yet.
func (s *Store) sortFiles() { slices.SortFunc(s.files(), byNumber) }

func byNumber(a, b *segmentFile) int { return cmp.Compare(a.number, b.number) }

// quarantine gives a damaged file a name under which nobody looks for it.
func (s *Store) quarantine(path string, why error) Damage {
	d := Damage{File: filepath.Base(path), Err: why}
	stamp := s.cfg.Now().UTC().Format("20060102T150405Z")
	to := path + corruptInfix + stamp
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s%s%s-%d", path, corruptInfix, stamp, i)
	}
	if err := rename(&s.cfg.Hooks, path, to); err != nil {
		s.cfg.Logger("error", "a damaged file cannot be set aside", "file", d.File, "err", err)
		return d
	}
	_ = syncDir(&s.cfg.Hooks, s.cfg.Dir) // if the old name comes back, so does the damage, and is found again
	d.SetAside = filepath.Base(to)
	return d
}
