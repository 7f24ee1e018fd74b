package segment

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

var (
	bucketRecords = []byte("records")
	bucketMeta    = []byte("meta")
)

const (
	newSuffix     = ".new"
	corruptInfix  = ".corrupt-"
	segmentPrefix = "seg-"
	dbSuffix      = ".db"
)

// How full bbolt leaves the left page of a split. When channels come with several
// events at once, each run is appended behind its channel's last one, and nearly
// full pages are right. When a commit brings one event for each of many channels,
// every page grows in its middle: nearly full pages would split at the next event
// again, and halves are right. Measured in file bytes for an event of 165 bytes:
// 1,000 channels 341 and 541, 100,000 channels 769 and 530.
const (
	fillRuns    = 0.95
	fillSingles = 0.5
	runOfEvents = 3 // events of a channel in a transaction from which on it is a run
)

// mapSlack is what a file may grow beyond SegmentBytes: bbolt allocates 16 MiB at
// a time, and one commit may be large.
const mapSlack = 64 << 20

// segmentFile is one file of records.
type segmentFile struct {
	// Immutable after it was opened.
	number uint64
	class  Class
	seed   uint64 // of hashKey
	file   *boltFile
	born   int64 // Unix ms of its creation; 0 = by an earlier run

	// Owned by the writer while the file takes records, immutable afterwards.
	sum    summary // until it is sealed, sum.records counts repeated records twice
	sealed bool    // takes no more records

	// Written by the writer, read by any goroutine. Both are raised before a commit:
	// what they tell is never too little.
	extent atomic.Pointer[summary]
	keys   hashSet // channels, until filter is there
	filter atomic.Pointer[bloom]
	bytes  atomic.Int64 // of its pages in use

	// users is held for reading by who reads, for writing by who closes.
	users sync.RWMutex
	gone  bool // closed; guarded by users

	spoiled atomic.Bool // found damaged: nobody should touch it
	trusted atomic.Bool // its branches were walked, or this run made them
}

func segmentName(class Class, number uint64) string {
	return fmt.Sprintf("%s%d-%016x%s", segmentPrefix, class, number, dbSuffix)
}

// parseSegmentName also returns the number of files that are being created or were
// set aside, with whole = false.
func parseSegmentName(name string) (class Class, number uint64, whole, ok bool) {
	rest, isSegment := strings.CutPrefix(name, segmentPrefix)
	if !isSegment || len(rest) < 2+16+len(dbSuffix) || rest[1] != '-' || rest[0] < '0' || rest[0] >= '0'+Classes {
		return 0, 0, false, false
	}
	n, err := strconv.ParseUint(rest[2:18], 16, 64)
	if err != nil || !strings.HasPrefix(rest[18:], dbSuffix) || strings.ToLower(rest[2:18]) != rest[2:18] {
		return 0, 0, false, false
	}
	return Class(rest[0] - '0'), n, rest[18:] == dbSuffix, true
}

// createSegment makes an empty file that takes records.
func createSegment(cfg *Config, class Class, number, seed uint64) (*segmentFile, error) {
	path := filepath.Join(cfg.Dir, segmentName(class, number))
	size := cfg.SegmentBytes + mapSlack
	f, err := create(path, &cfg.Hooks, size, size, func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket(bucketRecords); err != nil {
			return err
		}
		_, err := tx.CreateBucket(bucketMeta)
		return err
	})
	if err != nil {
		return nil, err
	}
	s := &segmentFile{number: number, class: class, seed: seed, file: f, born: cfg.Now().UnixMilli()}
	s.trusted.Store(true)
	s.measure()
	return s, nil
}

// put writes records of the file's class in one transaction. scratch is reused
// between calls.
func (s *segmentFile) put(records []*Record, scratch *arena) error {
	if s.sealed {
		return errSealed
	}
	scratch.reset()
	next := s.sum
	channels := 0
	for i, r := range records {
		next.note(r)
		if i == 0 || r.Key != records[i-1].Key {
			channels++
			s.keys.add(hashKey(s.seed, r.Key))
		}
	}
	s.extent.Store(&next)
	err := s.file.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketRecords)
		if b == nil {
			return damaged(s.file.path, "no bucket of records")
		}
		b.FillPercent = fillSingles
		if len(records) >= channels*runOfEvents {
			b.FillPercent = fillRuns
		}
		for _, r := range records {
			k := scratch.take(len(r.Key) + seqBytes)
			k = appendRecordKey(k, r.Key, r.Seq)
			v := scratch.take(r.valueBytes())
			if err := b.Put(k, appendRecordValue(v, k, r)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.sum = next
	s.measure()
	return nil
}

// measure notes how much of the file is in use.
func (s *segmentFile) measure() {
	_ = s.file.view(func(tx *bbolt.Tx) error {
		s.bytes.Store(tx.Size())
		return nil
	})
}

// seal writes the footer and ends the life of the file as one that takes records,
// even when the footer could not be written: then the next Open walks the file.
func (s *segmentFile) seal() error {
	if s.sealed {
		return nil
	}
	s.sealed = true
	filter := newBloom(s.keys.len())
	s.keys.each(filter.add)
	err := s.file.update(func(tx *bbolt.Tx) error {
		n, err := countRecords(tx)
		if err != nil {
			return err
		}
		s.sum.records = n
		f := footer{summary: s.sum, class: s.class, number: s.number, seed: s.seed, filter: filter}
		b := tx.Bucket(bucketMeta)
		if b == nil {
			return damaged(s.file.path, "no bucket of meta")
		}
		return b.Put(footerName, appendFooter(nil, &f))
	})
	if err == nil {
		s.measure()
	}
	s.filter.Store(filter)
	s.keys.clear()
	return err
}

func countRecords(tx *bbolt.Tx) (n uint64, err error) {
	b := tx.Bucket(bucketRecords)
	if b == nil {
		return 0, errors.New("no bucket of records")
	}
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n++
	}
	return n, nil
}

// may tells whether the file can hold records of the channel. It touches memory only.
func (s *segmentFile) may(key string) bool {
	e := s.extent.Load()
	if e == nil || e.records == 0 || key < e.firstKey || key > e.lastKey {
		return false
	}
	h := hashKey(s.seed, key)
	if f := s.filter.Load(); f != nil {
		return f.may(h)
	}
	// seal stores the filter before it empties the set: who finds the set empty
	// looks again.
	if s.keys.has(h) {
		return true
	}
	f := s.filter.Load()
	return f != nil && f.may(h)
}

// view runs fn in a read transaction unless the file is gone; then it does nothing.
func (s *segmentFile) view(fn func(*bbolt.Bucket) error) error {
	s.users.RLock()
	defer s.users.RUnlock()
	if s.gone || s.spoiled.Load() {
		return nil
	}
	// Two readers may walk at once; that is rare and harmless.
	if !s.trusted.Load() {
		if err := withPages(s.file.path, (*pageFile).walkBranches); err != nil {
			return err
		}
		s.trusted.Store(true)
	}
	return s.file.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketRecords)
		if b == nil {
			return damaged(s.file.path, "no bucket of records")
		}
		return fn(b)
	})
}

// close waits for the readers that are inside.
func (s *segmentFile) close() error {
	s.users.Lock()
	defer s.users.Unlock()
	if s.gone {
		return nil
	}
	s.gone = true
	return s.file.close()
}

// openSegment opens a file of an earlier run for reading. One without a footer was
// not closed in order: it is walked first and, unless nothing may be changed, gets
// its footer now.
func openSegment(cfg *Config, class Class, number, seed uint64, change bool) (*segmentFile, error) {
	path := filepath.Join(cfg.Dir, segmentName(class, number))
	if err := withPages(path, func(p *pageFile) error { return p.walkOnly(bucketMeta) }); err != nil {
		return nil, err
	}
	f, err := openBolt(path, &cfg.Hooks, 0, 0, true)
	if err != nil {
		return nil, err
	}
	s := &segmentFile{number: number, class: class, seed: seed, file: f, sealed: true}
	foot, err := readFooter(f)
	if err == nil && foot == nil {
		err = s.walk(path)
		if err == nil && change {
			return s.adopt(cfg)
		}
	}
	if err == nil && foot != nil && (foot.class != class || foot.number != number) {
		err = damaged(path, "the footer is that of %s", segmentName(foot.class, foot.number))
	}
	if err != nil {
		f.abandon()
		return nil, err
	}
	if foot != nil {
		s.seed, s.sum = foot.seed, foot.summary
		s.filter.Store(foot.filter)
	}
	s.extent.Store(&s.sum)
	s.measure()
	return s, nil
}

// readFooter returns nil when there is none.
func readFooter(f *boltFile) (foot *footer, err error) {
	err = f.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		if b == nil {
			return damaged(f.path, "no bucket of meta")
		}
		v := b.Get(footerName)
		if v == nil {
			return nil
		}
		foot, err = decodeFooter(v)
		return err
	})
	return foot, err
}

// adopt writes the footer of a file that was just walked. When it cannot be written
// now (a full disk) the file is used as it is.
func (s *segmentFile) adopt(cfg *Config) (*segmentFile, error) {
	path := s.file.path
	if err := s.file.close(); err != nil {
		return nil, err
	}
	f, err := openBolt(path, &cfg.Hooks, 0, cfg.SegmentBytes+mapSlack, false)
	if err != nil {
		return nil, err
	}
	s.file = f
	s.sealed = s.sum.records == 0 // Retain unlinks it
	if err := s.seal(); err != nil {
		cfg.Logger("warn", "segment file has no footer and will be walked again at the next start", "file", filepath.Base(path), "err", err)
	}
	s.extent.Store(&s.sum)
	s.measure()
	return s, nil
}

// walk checks a whole file that nobody writes and learns what it holds.
func (s *segmentFile) walk(path string) error {
	var r Record
	s.trusted.Store(true)
	return walkFile(path, func(bucket, k, v []byte) error {
		if !bytes.Equal(bucket, bucketRecords) {
			return nil
		}
		if err := decodeRecord(&r, k, v); err != nil {
			return err
		}
		if key := k[:len(k)-seqBytes]; r.Key != string(key) {
			r.Key = string(key)
			s.keys.add(hashKey(s.seed, r.Key))
		}
		s.sum.note(&r)
		return nil
	})
}

// arena hands out byte slices that live until reset: bbolt keeps a put value until
// the transaction ends. Owned by the writer.
type arena struct {
	chunks [][]byte
	at     int // chunk in use
}

const arenaChunk = 1 << 20

func (a *arena) reset() {
	// One chunk is enough for most commits; a burst's memory is not kept.
	if len(a.chunks) > 8 {
		a.chunks = a.chunks[:8:8]
	}
	for i := range a.chunks {
		a.chunks[i] = a.chunks[i][:0]
	}
	a.at = 0
}

// take returns an empty slice with room for n bytes.
func (a *arena) take(n int) []byte {
	for ; a.at < len(a.chunks); a.at++ {
		c := a.chunks[a.at]
		if cap(c)-len(c) >= n {
			a.chunks[a.at] = c[:len(c)+n]
			return c[len(c) : len(c) : len(c)+n]
		}
	}
	a.chunks = append(a.chunks, make([]byte, n, max(n, arenaChunk)))
	return a.chunks[a.at][0:0:n]
}
