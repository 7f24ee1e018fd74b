package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// HeadsFile is the name of the file of heads, keys and named values.
const HeadsFile = "heads.db"

var (
	bucketHeads    = []byte("heads")
	bucketKeys     = []byte("keys")
	bucketKeyTimes = []byte("keytimes")

	// cleanName is a named value that is there while nobody has the store open, if
	// it was closed in order.
	cleanName = []byte(".clean")
)

// maxKeyDrops bounds the keys that one commit drops.
const maxKeyDrops = 16384

// headsFile is heads.db.
type headsFile struct {
	// Immutable after openHeads.
	cfg  *Config
	path string
	seed uint64 // of hashKey

	// mu is held for reading while a transaction runs, for writing while the file is
	// replaced by another.
	mu   sync.RWMutex
	file *boltFile // nil only when a replacement could not be opened

	// Owned by the writer.
	broken  bool // a write or sync failed: the file is copied before it is written again
	scratch arena
	sorted  []*Head

	// Changed by the writer, asked by any goroutine; raised before a commit, lowered
	// after it.
	set hashSet

	keyCount atomic.Int64 // idempotency keys; changed by the writer

	turn atomic.Uint64 // counts the files that took this name; changed by the writer
}

// openHeads opens heads.db after a walk over all of it, or makes it. wasClean: the
// run before this one closed in order. A damaged file is returned as an error that
// wraps ErrDamaged.
func openHeads(cfg *Config, seed uint64) (h *headsFile, wasClean bool, err error) {
	h = &headsFile{cfg: cfg, path: filepath.Join(cfg.Dir, HeadsFile), seed: seed}
	if _, err := os.Stat(h.path); errors.Is(err, os.ErrNotExist) {
		return h, false, h.create()
	}
	if err := h.walk(h.path); err != nil {
		return nil, false, err
	}
	f, err := openBolt(h.path, &cfg.Hooks, cfg.HeadBytes, cfg.HeadBytes, false)
	if err != nil {
		return nil, false, err
	}
	h.file = f
	err = f.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		if b == nil {
			return damaged(h.path, "no bucket of meta")
		}
		wasClean = b.Get(cleanName) != nil
		return b.Delete(cleanName)
	})
	if err != nil && !errors.Is(err, ErrFull) {
		_ = f.close()
		return nil, false, err
	}
	if err != nil {
		// On a full disk the mark stays, and the next run may take this one for clean.
		// Nothing here relies on it: heads.db is walked at every Open, a segment has a
		// footer or is walked.
		cfg.Logger("warn", "disk is full: heads.db cannot be written", "err", err)
	}
	return h, wasClean, nil
}

func (h *headsFile) create() error {
	f, err := create(h.path, &h.cfg.Hooks, h.cfg.HeadBytes, h.cfg.HeadBytes, func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketHeads, bucketKeys, bucketKeyTimes, bucketMeta} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.file = f
	h.mu.Unlock()
	h.turn.Add(1)
	h.set.clear()
	h.keyCount.Store(0)
	h.broken = false
	return nil
}

// walk checks every page and value of a file that nobody writes, fills the set of
// heads and counts the keys.
func (h *headsFile) walk(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	defer f.Close()
	if err := lockShared(f); err != nil {
		return err
	}
	return walkFile(path, h.take)
}

// take checks one value of the walk and notes it.
func (h *headsFile) take(bucket, k, v []byte) error {
	switch {
	case bytes.Equal(bucket, bucketHeads):
		if _, err := decodeHead(k, v); err != nil {
			return err
		}
		h.set.add(hashKey(h.seed, string(k)))
	case bytes.Equal(bucket, bucketKeys):
		_, err := decodeKey(k, v)
		return err
	case bytes.Equal(bucket, bucketKeyTimes):
		if _, _, ok := splitKeyTime(k); !ok {
			return fmt.Errorf("%w: key time %.40q", ErrDamaged, k)
		}
		h.keyCount.Add(1)
	case bytes.Equal(bucket, bucketMeta) && !bytes.Equal(k, cleanName):
		_, err := decodeMeta(string(k), v)
		return err
	}
	return nil
}

// view runs fn in a read transaction on the bucket.
func (h *headsFile) view(bucket []byte, fn func(*bbolt.Bucket) error) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.file == nil {
		return ErrClosed
	}
	return h.file.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return damaged(h.path, "no bucket %q", bucket)
		}
		return fn(b)
	})
}

func (h *headsFile) head(key string) (head Head, ok bool, err error) {
	if !h.set.has(hashKey(h.seed, key)) {
		return Head{}, false, nil
	}
	err = h.view(bucketHeads, func(b *bbolt.Bucket) error {
		k := []byte(key)
		v := b.Get(k)
		if v == nil {
			return nil
		}
		ok = true
		head, err = decodeHead(k, v)
		return err
	})
	return head, ok && err == nil, err
}

func (h *headsFile) lookup(id []byte) (key Key, ok bool, err error) {
	err = h.view(bucketKeys, func(b *bbolt.Bucket) error {
		v := b.Get(id)
		if v == nil {
			return nil
		}
		borrowed, err := decodeKey(id, v)
		if err != nil {
			return err
		}
		ok = true
		key = Key{ID: bytes.Clone(id), TimeMS: borrowed.TimeMS, Value: append([]byte{}, borrowed.Value...)}
		return nil
	})
	return key, ok && err == nil, err
}

func (h *headsFile) meta(name string) (value []byte, ok bool, err error) {
	err = h.view(bucketMeta, func(b *bbolt.Bucket) error {
		v := b.Get([]byte(name))
		if v == nil {
			return nil
		}
		borrowed, err := decodeMeta(name, v)
		if err != nil {
			return err
		}
		ok, value = true, append([]byte{}, borrowed...)
		return nil
	})
	return value, ok && err == nil, err
}

// old looks at up to scan heads after a key and returns those of an earlier time.
func (h *headsFile) old(after string, beforeMS int64, scan int) (old []string, next string, err error) {
	err = h.view(bucketHeads, func(b *bbolt.Bucket) error {
		c := b.Cursor()
		k, v := c.Seek([]byte(after))
		if after != "" && string(k) == after {
			k, v = c.Next()
		}
		for n := 0; k != nil; k, v = c.Next() {
			if n++; n > scan {
				return nil
			}
			next = string(k)
			if at, ok := headTime(v); ok && at < beforeMS {
				old = append(old, next)
			}
		}
		next = ""
		return nil
	})
	return old, next, err
}

// commit writes the batch's part of heads.db.
func (h *headsFile) commit(b *Batch) error {
	if h.broken {
		if err := h.renew(); err != nil {
			return err
		}
	}
	h.scratch.reset()
	h.sorted = h.sorted[:0]
	for i := range b.Heads {
		h.sorted = append(h.sorted, &b.Heads[i])
		h.set.add(hashKey(h.seed, b.Heads[i].Key))
	}
	slices.SortStableFunc(h.sorted, func(x, y *Head) int { return strings.Compare(x.Key, y.Key) })
	keys := h.keyCount.Load()
	err := h.file.update(func(tx *bbolt.Tx) error {
		if err := h.putHeads(tx, b); err != nil {
			return err
		}
		n, err := h.putKeys(tx, b)
		if err != nil {
			return err
		}
		keys += int64(n)
		return h.putMeta(tx, b)
	})
	clear(h.sorted)
	if err != nil {
		if !errors.Is(err, ErrFull) {
			h.broken = true
		}
		return err
	}
	h.keyCount.Store(keys)
	h.forget(b)
	return nil
}

// forget takes dropped heads out of the set, unless the same batch wrote them.
func (h *headsFile) forget(b *Batch) {
	if len(b.DropHeads) == 0 {
		return
	}
	written := make(map[string]struct{}, len(b.Heads))
	for i := range b.Heads {
		written[b.Heads[i].Key] = struct{}{}
	}
	for _, key := range b.DropHeads {
		if _, ok := written[key]; !ok {
			h.set.remove(hashKey(h.seed, key))
		}
	}
}

func (h *headsFile) putHeads(tx *bbolt.Tx, b *Batch) error {
	heads := tx.Bucket(bucketHeads)
	if heads == nil {
		return damaged(h.path, "no bucket of heads")
	}
	for _, key := range b.DropHeads {
		if err := heads.Delete([]byte(key)); err != nil {
			return err
		}
	}
	for _, head := range h.sorted {
		k := append(h.scratch.take(len(head.Key)), head.Key...)
		if err := heads.Put(k, appendHead(h.scratch.take(head.valueBytes()), k, head)); err != nil {
			return err
		}
	}
	return nil
}

// putKeys writes the batch's idempotency keys, drops old ones, and returns by how
// many their number changed.
func (h *headsFile) putKeys(tx *bbolt.Tx, b *Batch) (change int, err error) {
	keys, times := tx.Bucket(bucketKeys), tx.Bucket(bucketKeyTimes)
	if keys == nil || times == nil {
		return 0, damaged(h.path, "no bucket of keys")
	}
	times.FillPercent = fillRuns // they come in ascending order
	for i := range b.Keys {
		k := &b.Keys[i]
		if former := keys.Get(k.ID); former != nil {
			old, err := decodeKey(k.ID, former)
			if err != nil {
				return 0, err
			}
			if err := times.Delete(appendKeyTime(nil, old.TimeMS, k.ID)); err != nil {
				return 0, err
			}
			change--
		}
		if err := keys.Put(k.ID, appendKeyValue(h.scratch.take(k.valueBytes()), k)); err != nil {
			return 0, err
		}
		if err := times.Put(appendKeyTime(h.scratch.take(8+len(k.ID)), k.TimeMS, k.ID), nil); err != nil {
			return 0, err
		}
		change++
	}
	surplus := int(h.keyCount.Load()) + change - h.cfg.KeepKeys
	var drop [][]byte
	c := times.Cursor()
	for k, _ := c.First(); k != nil && len(drop) < maxKeyDrops; k, _ = c.Next() {
		at, _, ok := splitKeyTime(k)
		if !ok {
			return 0, damaged(h.path, "key time %.40q", k)
		}
		if at >= b.DropKeysBefore && len(drop) >= surplus {
			break
		}
		drop = append(drop, bytes.Clone(k))
	}
	for _, k := range drop {
		if err := keys.Delete(k[8:]); err != nil {
			return 0, err
		}
		if err := times.Delete(k); err != nil {
			return 0, err
		}
	}
	return change - len(drop), nil
}

func (h *headsFile) putMeta(tx *bbolt.Tx, b *Batch) error {
	if len(b.Meta) == 0 {
		return nil
	}
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return damaged(h.path, "no bucket of meta")
	}
	for name, value := range b.Meta {
		var err error
		if value == nil {
			err = meta.Delete([]byte(name))
		} else {
			err = meta.Put([]byte(name), appendMeta(nil, name, value))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// renew replaces a file whose write or sync failed by a copy of what readers see
// of it. Linux forgets that a page could not be written back, so a later sync of
// the same file would prove nothing; the copy's own sync does. The copy is walked
// before it is used: pages may have been dropped and read back stale.
func (h *headsFile) renew() error {
	aside := h.path + newSuffix
	if err := h.cfg.Hooks.Step(StepCreate, aside); err != nil {
		return fmt.Errorf("segment: copy %s: %w", HeadsFile, err)
	}
	defer os.Remove(aside)
	if err := h.copyTo(aside); err != nil {
		return fullOr(err)
	}
	check := headsFile{cfg: h.cfg, path: h.path, seed: h.seed}
	if err := check.walk(aside); err != nil {
		return err
	}
	f, err := openBolt(aside, &h.cfg.Hooks, h.cfg.HeadBytes, h.cfg.HeadBytes, false)
	if err != nil {
		return err
	}
	if err := rename(&h.cfg.Hooks, aside, h.path); err != nil {
		_ = f.close()
		return err
	}
	// The former file has no name any more, so the copy is in use whatever follows;
	// only when the directory is synced too is it as good as the former was.
	f.path = h.path
	h.mu.Lock()
	former := h.file
	h.file = f
	h.mu.Unlock()
	h.turn.Add(1)
	h.keyCount.Store(check.keyCount.Load())
	former.abandon()
	if err := syncDir(&h.cfg.Hooks, h.cfg.Dir); err != nil {
		return err
	}
	h.broken = false
	h.cfg.Logger("warn", "heads.db was copied after a failed write", "bytes", bytesInUse(h.path))
	return nil
}

func (h *headsFile) copyTo(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("segment: copy %s: %w", HeadsFile, err)
	}
	defer f.Close()
	err = h.file.view(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(f)
		return err
	})
	if err != nil {
		return fmt.Errorf("segment: copy %s: %w", HeadsFile, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("segment: copy %s: %w", HeadsFile, err)
	}
	return nil
}

// close leaves the clean mark if the file is sound.
func (h *headsFile) close(clean bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return nil
	}
	var err error
	if clean && !h.broken {
		err = h.file.update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketMeta)
			if b == nil {
				return damaged(h.path, "no bucket of meta")
			}
			return b.Put(cleanName, []byte{1})
		})
	}
	err = errors.Join(err, h.file.close())
	h.file = nil
	return err
}
