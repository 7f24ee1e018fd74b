package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

var (
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("segment: the store is closed")
	// ErrInUse: another process, or another Store, has the directory open.
	ErrInUse = errors.New("segment: the directory is in use")
	// ErrFull: the disk or the quota is full. Nothing is damaged; the same batch may be committed later.
	ErrFull = errors.New("segment: no space left on the disk")
	// ErrDamaged: bytes on disk are not what was written. The file was set aside.
	ErrDamaged = errors.New("segment: damaged")
	// ErrUnavailable: a file cannot be opened now, for want of memory or because the
	// disk fails. What it holds is not known. It is tried again.
	ErrUnavailable = errors.New("segment: a file cannot be opened now")
	// ErrGone: the event is not on disk, no more or not yet.
	ErrGone = errors.New("segment: the event is not on disk")
	// ErrTooLarge: a key, origin, id or name is longer than the formats allow.
	ErrTooLarge = errors.New("segment: longer than the format allows")
	// ErrBadKey: a key is empty or holds a zero byte, or a sequence number is 0 or above 2^53-1.
	ErrBadKey = errors.New("segment: not a key or sequence number")
	// ErrNotDense: records that should follow each other do not.
	ErrNotDense = errors.New("segment: records do not follow each other")
)

// errSealed: the file takes no more writes; the writer opens another.
var errSealed = errors.New("segment: the file is sealed")

// Damage is a file that was found damaged and set aside.
type Damage struct {
	File     string // name within the directory, as it was
	Err      error  // what was wrong; wraps ErrDamaged
	SetAside string // its name now; "" when it could not be renamed
}

func (d Damage) String() string {
	return fmt.Sprintf("%s: %v (set aside as %q)", d.File, d.Err, d.SetAside)
}

func damaged(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrDamaged, filepath.Base(path), fmt.Sprintf(format, args...))
}

// isFull tells a full disk from a broken one. Only a failed write counts: when a
// sync reports a full disk, written pages are already lost, as after any other
// failed sync. bbolt returns the bare errno of fdatasync and the PathError of a
// write.
func isFull(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) &&
		(errors.Is(path.Err, syscall.ENOSPC) || errors.Is(path.Err, syscall.EDQUOT))
}
