package segment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long bbolt waits for the lock of a file. Its pause between
// attempts is 50 ms.
const lockTimeout = time.Second

// guarded runs f and turns a panic of bbolt, or a fault of its mapping (a damaged
// page leads outside; the disk fails under a page), into ErrDamaged.
func guarded(path string, f func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			err = damaged(path, "%v", p)
		}
	}()
	return f()
}

// boltFile is an open bbolt file. Its methods may be called from any goroutine;
// bbolt admits one update at a time.
type boltFile struct {
	path  string
	hooks *Hooks
	db    *bbolt.DB
}

// openBolt opens a file whose pages are sound. The whole of mapBytes is mapped at
// once: a mapping that never grows never has to wait for readers to leave, nor
// they for it. mapBytes is address space only.
func openBolt(path string, hooks *Hooks, mapBytes, maxBytes int64, readOnly bool) (*boltFile, error) {
	var opened *os.File
	var db *bbolt.DB
	err := guarded(path, func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         lockTimeout,
			FreelistType:    bbolt.FreelistMapType,
			ReadOnly:        readOnly,
			InitialMmapSize: int(mapBytes),
			MaxSize:         int(maxBytes),
			NoStatistics:    true,
			OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
				f, err := hooks.OpenFile(name, flag, perm)
				opened = f
				return f, err
			},
		})
		return err
	})
	if err == nil {
		return &boltFile{path: path, hooks: hooks, db: db}, nil
	}
	if db == nil && errors.Is(err, ErrDamaged) && opened != nil {
		opened.Close() // bbolt panicked and left its descriptor, and with it the lock
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, damaged(path, "%v", err)
	}
	return nil, fmt.Errorf("segment: open %s: %w", path, err)
}

// view runs fn in a read transaction, guarded. What fn borrows ends with it.
func (f *boltFile) view(fn func(*bbolt.Tx) error) error {
	return guarded(f.path, func() error {
		tx, err := f.db.Begin(false)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		return fn(tx)
	})
}

// update runs fn in a write transaction and commits it, guarded. All is on disk
// when it returns nil.
func (f *boltFile) update(fn func(*bbolt.Tx) error) error {
	err := guarded(f.path, func() error {
		tx, err := f.db.Begin(true)
		if err != nil {
			return err
		}
		// After Commit this does nothing. After a panic it gives the writer's lock back.
		defer tx.Rollback()
		if err := fn(tx); err != nil {
			return err
		}
		if err := f.hooks.Step(StepCommit, f.path); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err == nil {
		_ = f.hooks.Step(StepCommitted, f.path)
		return nil
	}
	if isFull(err) {
		return fmt.Errorf("%w: %s: %w", ErrFull, filepath.Base(f.path), err)
	}
	return fmt.Errorf("segment: commit %s: %w", filepath.Base(f.path), err)
}

func (f *boltFile) close() error {
	return guarded(f.path, f.db.Close)
}

// abandon closes a file in which bbolt panicked. The panic may have left one of
// bbolt's locks taken, so the caller does not wait.
func (f *boltFile) abandon() { go func() { _ = f.close() }() }

// create makes a bbolt file with these buckets so that a crash at any point leaves
// either no file of the name or a whole one: it is written aside, synced, renamed,
// and the directory is synced.
func create(path string, hooks *Hooks, mapBytes, maxBytes int64, fill func(*bbolt.Tx) error) (_ *boltFile, err error) {
	aside := path + newSuffix
	if err := hooks.Step(StepCreate, aside); err != nil {
		return nil, fmt.Errorf("segment: create %s: %w", path, err)
	}
	if err := os.Remove(aside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("segment: create %s: %w", path, err)
	}
	f, err := openBolt(aside, hooks, mapBytes, maxBytes, false)
	if err != nil {
		os.Remove(aside)
		return nil, fullOr(err)
	}
	defer func() {
		if err != nil {
			_ = f.close()
			os.Remove(aside)
		}
	}()
	if err := f.update(fill); err != nil {
		return nil, err
	}
	if err := rename(hooks, aside, path); err != nil {
		return nil, err
	}
	if err := syncDir(hooks, filepath.Dir(path)); err != nil {
		os.Remove(path) // after a crash it might not be there: it must not be used
		return nil, err
	}
	f.path = path
	return f, nil
}

// fullOr marks an error of a full disk as such.
func fullOr(err error) error {
	if err != nil && isFull(err) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func rename(hooks *Hooks, from, to string) error {
	if err := hooks.Step(StepRename, to); err != nil {
		return fmt.Errorf("segment: rename to %s: %w", to, err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}

func syncDir(hooks *Hooks, dir string) error {
	if err := hooks.Step(StepSyncDir, dir); err != nil {
		return fmt.Errorf("segment: sync %s: %w", dir, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}

// lockShared takes the shared lock that a read-only opener of a bbolt file takes,
// without waiting.
func lockShared(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s", ErrInUse, f.Name())
	}
	if err != nil {
		return fmt.Errorf("segment: lock %s: %w", f.Name(), err)
	}
	return nil
}
