package segment

import (
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// Stats is what a Store has and did. Counters are since Open.
type Stats struct {
	Files       [Classes]int   // segment files
	FileBytes   [Classes]int64 // their pages in use
	FileRecords [Classes]uint64
	HeadsBytes  int64 // pages in use of heads.db
	Heads       int   // channels with a head on disk
	Keys        int   // idempotency keys
	OldestMS    int64 // time of the oldest record; 0 = none

	Commits       uint64
	CommitNS      uint64 // time in commits that succeeded
	Records       uint64 // committed, repetitions included
	Failed        uint64 // commits and footers that failed
	DamagedFiles  uint64 // set aside, those at Open included
	DroppedFiles  uint64 // unlinked by Retain
	Reads         uint64 // calls of Read
	ReadRecords   uint64
	ReadTx        uint64 // read transactions on segments
	BlockHits     uint64 // Block served from memory
	BlockLoads    uint64 // Block read from disk
	BlockWaits    uint64 // Block waited for a load of the same group
	CacheBytes    int64  // of blocks in memory
	CacheMaxBytes int64
}

type counters struct {
	commits, commitNS, records, failed atomic.Uint64
	damaged, dropped                   atomic.Uint64
	reads, readRecords, readTx         atomic.Uint64
}

// Stats may be called from any goroutine and does not wait for a commit.
func (s *Store) Stats() Stats {
	c := &s.counters
	st := Stats{
		Commits: c.commits.Load(), CommitNS: c.commitNS.Load(), Records: c.records.Load(), Failed: c.failed.Load(),
		DamagedFiles: c.damaged.Load(), DroppedFiles: c.dropped.Load(),
		Reads: c.reads.Load(), ReadRecords: c.readRecords.Load(), ReadTx: c.readTx.Load(),
		Heads: s.heads.set.len(),
	}
	s.cache.stats(&st)
	st.Keys = int(s.heads.keyCount.Load())
	st.HeadsBytes = s.heads.bytes()
	for _, f := range s.files() {
		st.Files[f.class]++
		st.FileBytes[f.class] += f.bytes.Load()
		e := f.extent.Load()
		if e == nil || e.records == 0 {
			continue
		}
		st.FileRecords[f.class] += e.records
		if st.OldestMS == 0 || e.firstMS < st.OldestMS {
			st.OldestMS = e.firstMS
		}
	}
	return st
}

// bytes of the pages in use.
func (h *headsFile) bytes() (n int64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.file != nil {
		_ = h.file.view(func(tx *bbolt.Tx) error {
			n = tx.Size()
			return nil
		})
	}
	return n
}
