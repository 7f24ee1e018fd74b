package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// maxKeyDrops bounds the keys that one commit drops.
const maxKeyDrops = 16384

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
