package segment

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// A read transaction keeps pages from being used again, so it is short.
const (
	maxTxRecords = 256
	maxTxBytes   = 1 << 20
	maxTxTime    = 5 * time.Millisecond
	clockEvery   = 64 // records between two looks at the clock
)

// Read visits the channel's records with from < seq ≤ to in ascending order, at
// most max of them and not many more payload bytes than maxBytes (0 = no bound,
// both); it stops when visit returns false. The record is borrowed until visit
// returns. No transaction is open while visit runs.
//
// Read tells what is on disk: a missing record is left out, and the caller counts.
// After ErrUnavailable what is missing may be in a file that cannot be opened now.
// to must not exceed what the caller knows to be committed.
//
// When two files hold the same seq, the file that was made later is right: a batch
// was repeated, or the channel began to count anew.
func (s *Store) Read(key string, from, to uint64, max, maxBytes int, visit func(*Record) bool) error {
	s.counters.reads.Add(1)
	r := readers.Get().(*reader)
	defer r.release()
	r.store, r.key = s, key
	if err := r.plan(from, to); err != nil {
		return err
	}
	visited, next, dense := 0, from+1, true
	defer func() { s.counters.readRecords.Add(uint64(visited)) }()
	for n := 0; ; {
		rec, err := r.next(max - visited)
		if err != nil {
			return err
		}
		if rec == nil {
			return s.missed(dense && next > to)
		}
		visited++
		dense = dense && rec.Seq == next
		next = rec.Seq + 1
		n += len(rec.Payload)
		if !visit(rec) || visited == max || maxBytes > 0 && n >= maxBytes {
			return nil
		}
	}
}

// missed judges a read that has come to its end: what it did not see may be in a
// file that was closed under it, or that could not be opened.
func (s *Store) missed(all bool) error {
	switch {
	case all:
		return nil
	case s.shut.Load():
		return ErrClosed
	case s.lacks.Load() > 0:
		return ErrUnavailable
	}
	return nil
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// reader merges the files of all classes: a channel whose rule changed has records
// in several.
type reader struct {
	store *Store
	key   string
	rec   Record
	k     []byte // scratch: a record's key
	rows  [Classes]row
}

// row reads the files of one class, oldest first.
type row struct {
	spans []span
	done  bool   // plan needs no older file
	limit uint64 // plan: an older file counts up to here

	// What was copied out of spans[0] and not visited yet.
	buf   []byte
	items []item
}

// span is what one file holds of the range: records with first ≤ seq ≤ last, maybe
// with holes.
type span struct {
	file        *segmentFile
	first, last uint64
}

type item struct {
	seq      uint64
	from, to int // in row.buf
}

func (r *reader) release() {
	r.store, r.key, r.rec = nil, "", Record{}
	for i := range r.rows {
		row := &r.rows[i]
		clear(row.spans)
		row.spans, row.items, row.buf, row.done = row.spans[:0], row.items[:0], row.buf[:0], false
		if cap(row.buf) > maxTxBytes*2 {
			row.buf = nil
		}
	}
	readers.Put(r)
}

// plan finds the files that have records of the range, the newest first: within a
// class an older file holds lower numbers, so the search ends at the file that
// holds the start or what is below it.
func (r *reader) plan(from, to uint64) error {
	for i := range r.rows {
		r.rows[i].limit = to
	}
	if from >= to {
		return nil
	}
	files := r.store.files()
	for i := len(files) - 1; i >= 0; i-- {
		f := files[i]
		row := &r.rows[f.class]
		if row.done || !f.may(r.key) {
			continue
		}
		first, below, err := r.locate(f, from, row.limit)
		if err != nil {
			return r.failed(f, err)
		}
		if first != 0 {
			row.spans = append(row.spans, span{f, first, row.limit})
			row.limit = first - 1
		}
		row.done = below || row.limit <= from
	}
	for i := range r.rows {
		slices.Reverse(r.rows[i].spans)
	}
	return nil
}

// locate returns the file's first seq in (from, last], 0 for none, and whether the
// file begins at or below from+1.
func (r *reader) locate(f *segmentFile, from, last uint64) (first uint64, below bool, err error) {
	r.store.counters.readTx.Add(1)
	err = f.view(func(b *bbolt.Bucket) error {
		c := b.Cursor()
		r.k = appendRecordKey(r.k[:0], r.key, from+1)
		k, _ := c.Seek(r.k)
		if seq, ok := r.seqOf(k); ok && seq <= last {
			first = seq
		}
		if first == from+1 {
			below = true
			return nil
		}
		r.k = appendRecordKey(r.k[:0], r.key, 1)
		k, _ = c.Seek(r.k)
		seq, ok := r.seqOf(k)
		below = ok && seq <= from+1
		return nil
	})
	return first, below, err
}

// seqOf returns the seq of a record key if it is one of the channel.
func (r *reader) seqOf(k []byte) (uint64, bool) {
	n := len(r.key)
	if len(k) != n+seqBytes || string(k[:n]) != r.key || k[n] != 0 {
		return 0, false
	}
	return binary.BigEndian.Uint64(k[n+1:]), true
}

// next returns the record with the lowest seq, nil at the end.
func (r *reader) next(want int) (*Record, error) {
	best := -1
	for i := range r.rows {
		row := &r.rows[i]
		for len(row.items) == 0 && len(row.spans) > 0 {
			if err := r.fill(row, want); err != nil {
				return nil, r.failed(row.spans[0].file, err)
			}
		}
		if len(row.items) == 0 {
			continue
		}
		if best < 0 || row.items[0].seq < r.rows[best].items[0].seq {
			best = i
			continue
		}
		if row.items[0].seq == r.rows[best].items[0].seq {
			// The later file is right; the other's record is passed over.
			if row.spans[0].file.number > r.rows[best].spans[0].file.number {
				r.rows[best].drop()
				best = i
			} else {
				row.drop()
			}
		}
	}
	if best < 0 {
		return nil, nil
	}
	row := &r.rows[best]
	at := row.items[0]
	r.k = appendRecordKey(r.k[:0], r.key, at.seq)
	if err := decodeRecord(&r.rec, r.k, row.buf[at.from:at.to]); err != nil {
		return nil, r.failed(row.spans[0].file, err)
	}
	r.rec.Key, r.rec.Class = r.key, Class(best)
	row.drop()
	return &r.rec, nil
}

// drop passes over the first item. The span is kept until fill finds it finished:
// the item's bytes are still borrowed.
func (w *row) drop() { w.items = w.items[1:] }

// fill copies the next records of the row's first span, or ends the span.
func (r *reader) fill(w *row, want int) error {
	sp := &w.spans[0]
	w.items, w.buf = w.items[:0], w.buf[:0]
	if sp.first > sp.last {
		w.spans = w.spans[1:]
		return nil
	}
	if want <= 0 || want > maxTxRecords {
		want = maxTxRecords
	}
	r.store.counters.readTx.Add(1)
	more := false
	err := sp.file.view(func(b *bbolt.Bucket) error {
		begun := r.store.cfg.Now()
		c := b.Cursor()
		r.k = appendRecordKey(r.k[:0], r.key, sp.first)
		for k, v := c.Seek(r.k); ; k, v = c.Next() {
			seq, ok := r.seqOf(k)
			if !ok || seq > sp.last {
				return nil
			}
			n := len(w.items)
			if n >= want || len(w.buf) >= maxTxBytes ||
				n%clockEvery == clockEvery-1 && r.store.cfg.Now().Sub(begun) > maxTxTime {
				more = true
				return nil
			}
			if len(v) > maxRecordValue {
				return damaged(sp.file.file.path, "record %.40q of %d bytes", k, len(v))
			}
			at := len(w.buf)
			w.buf = append(w.buf, v...)
			w.items = append(w.items, item{seq, at, len(w.buf)})
		}
	})
	if err != nil {
		return err
	}
	if n := len(w.items); n > 0 {
		sp.first = w.items[n-1].seq + 1
	}
	if !more {
		sp.last = sp.first - 1 // nothing follows
	}
	return nil
}

// failed sets a damaged file aside.
func (r *reader) failed(f *segmentFile, err error) error {
	if errors.Is(err, ErrDamaged) {
		r.store.setAside(f, err)
	}
	return err
}
