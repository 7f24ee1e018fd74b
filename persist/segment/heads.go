package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
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

// headsFile is heads.db.
type headsFile struct {
	// Immutable after openHeads.
	cfg  *Config
	path string
	seed uint64 // of hashKey

	// mu is held for reading while a transaction runs, for writing while the file is
	// replaced by another.
	mu   sync.RWMutex
	file *boltFile // nil while it cannot be opened or made, and after close

	// Owned by the writer.
	broken  bool // a write or sync failed: the file is copied before it is written again
	scratch arena
	sorted  []*Head

	// Changed by the writer, asked by any goroutine; raised before a commit, lowered
	// after it.
	set hashSet

	keyCount atomic.Int64 // idempotency keys; changed by the writer

	life atomic.Uint32 // the highest of a head that was read at open

	// unread: there is a file, and it could not be opened yet. Any head may be in it.
	unread atomic.Bool

	turn atomic.Uint64 // counts the files that took this name; changed by the writer
}

// open opens heads.db after a walk over all of it, or makes it. wasClean: the run
// before this one closed in order. A damaged file is an error that wraps ErrDamaged.
// After another error the file may be opened later.
func (h *headsFile) open() (wasClean bool, err error) {
	if err := os.Mkdir(h.cfg.Dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return false, fmt.Errorf("segment: %w", err)
	}
	if _, err := os.Stat(h.path); errors.Is(err, os.ErrNotExist) {
		return false, h.create()
	}
	h.unread.Store(true)
	h.set.clear()
	h.keyCount.Store(0)
	if err := h.walk(h.path); err != nil {
		return false, err
	}
	f, err := openBolt(h.path, &h.cfg.Hooks, h.cfg.HeadBytes, h.cfg.HeadBytes, false)
	if err != nil {
		return false, err
	}
	err = f.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		if b == nil {
			return damaged(h.path, "no bucket of meta")
		}
		wasClean = b.Get(cleanName) != nil
		return b.Delete(cleanName)
	})
	if errors.Is(err, ErrDamaged) {
		f.abandon()
		return false, err
	}
	if err != nil {
		// The mark stays, and the next run may take this one for clean. Nothing here
		// relies on it: heads.db is walked at every Open, a segment has a footer or is
		// walked.
		wasClean = false
		h.broken = !errors.Is(err, ErrFull)
		h.cfg.Logger("warn", "heads.db cannot be written", "err", err)
	}
	h.mu.Lock()
	h.file = f
	h.mu.Unlock()
	h.turn.Add(1)
	h.unread.Store(false)
	return wasClean, nil
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
	h.unread.Store(false)
	return nil
}

// walk checks every page and value of a file that nobody writes, fills the set of
// heads and counts the keys. Heads of before the last commit would give sequence
// numbers out a second time, so a file that may hold these is damaged.
func (h *headsFile) walk(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	defer f.Close()
	if err := lockShared(f); err != nil {
		return err
	}
	return walkNewest(path, h.take)
}

// take checks one value of the walk and notes it.
func (h *headsFile) take(bucket, k, v []byte) error {
	switch {
	case bytes.Equal(bucket, bucketHeads):
		head, err := decodeHead(k, v)
		if err != nil {
			return err
		}
		h.life.Store(max(h.life.Load(), head.Life))
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
		return ErrUnavailable
	}
	return h.file.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return damaged(h.path, "no bucket %q", bucket)
		}
		return fn(b)
	})
}

func (h *headsFile) mayHave(key string) bool {
	return h.set.has(hashKey(h.seed, key)) || h.unread.Load()
}

func (h *headsFile) head(key string) (head Head, ok bool, err error) {
	if !h.mayHave(key) {
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
