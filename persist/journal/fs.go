package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// FS is the seam to the file system. Production uses OS; tests replace single calls
// to inject EIO, ENOSPC or short writes, or to record what was written. The zero
// value stands for OS.
type FS struct {
	Create   func(name string) (File, error) // for writing; an existing file is emptied
	Update   func(name string) (File, error) // for writing to an existing file in place
	ReadFile func(name string) ([]byte, error)
	Rename   func(from, to string) error
	Remove   func(name string) error
	List     func(dir string) ([]string, error) // names, in order
	SyncDir  func(dir string) error
}

// File is one open file.
type File interface {
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error // fdatasync
	Close() error
}

// OS is the file system of the machine. New files are readable by their owner only.
func OS() FS {
	return FS{
		Create: func(name string) (File, error) {
			return open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
		},
		Update: func(name string) (File, error) {
			return open(name, os.O_RDWR)
		},
		ReadFile: os.ReadFile,
		Rename:   os.Rename,
		Remove:   os.Remove,
		List: func(dir string) ([]string, error) {
			entries, err := os.ReadDir(dir)
			names := make([]string, len(entries))
			for i, e := range entries {
				names[i] = e.Name()
			}
			return names, err
		},
		SyncDir: func(dir string) error {
			d, err := os.Open(dir)
			if err != nil {
				return err
			}
			defer d.Close()
			return d.Sync()
		},
	}
}

// OrOS is fs, or OS for the zero value.
func (fs FS) OrOS() FS {
	if fs.Create == nil {
		return OS()
	}
	return fs
}

// WriteNew makes a file that is there whole or not at all, on disk when it returns:
// it is written aside, synced, renamed, and its directory is synced. The file is
// returned open.
func (fs FS) WriteNew(dir, name string, chunks ...[]byte) (File, error) {
	f, err := fs.writeAside(dir, name, chunks)
	if err != nil {
		// A new file whose making failed must not be found at the next start, as far as
		// that is possible.
		_ = fs.Remove(dir + "/" + name)
	}
	return f, err
}

// Replace is WriteNew for a file that may be there: after an error the file is what
// it was, or what it was to be, and whole in either case.
func (fs FS) Replace(dir, name string, chunks ...[]byte) (File, error) {
	return fs.writeAside(dir, name, chunks)
}

func (fs FS) writeAside(dir, name string, chunks [][]byte) (File, error) {
	path := dir + "/" + name
	f, err := fs.Create(path + asideSuffix)
	if err != nil {
		return nil, err
	}
	err = func() error {
		at := int64(0)
		for _, c := range chunks {
			n, err := f.WriteAt(c, at)
			if err != nil {
				return err
			}
			at += int64(n)
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := fs.Rename(path+asideSuffix, path); err != nil {
			return err
		}
		return fs.SyncDir(dir)
	}()
	if err != nil {
		_ = f.Close()
		_ = fs.Remove(path + asideSuffix)
		return nil, err
	}
	return f, nil
}

// asideSuffix marks a file whose making was not finished.
const asideSuffix = ".tmp"

// osFile is an os.File whose Sync leaves out the times of the file.
type osFile struct{ *os.File }

func open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Sync is fdatasync, which includes the size.
func (f osFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			if err != nil {
				return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
			}
			return nil
		}
	}
}
