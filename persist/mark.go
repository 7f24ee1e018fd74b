package persist

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/holdfast-edge/holdfast/persist/journal"
)

// mark is the file `behind`: 4,096 bytes, "hfbehind" and then "0", or "1" while
// events have been handed out that the log does not have. A process that dies while
// it says 1 leaves channels whose continuity nobody can prove.
//
// One byte is overwritten in place, so a full disk cannot stop it. It is synced only
// for a channel whose epoch would survive a power cut: the page cache outlives the
// process, and a power cut ends all other epochs anyway.
type mark struct {
	mu     sync.Mutex
	file   journal.File // guarded by mu; nil until it could be opened
	set    bool         // guarded by mu
	synced bool         // guarded by mu: the disk has it as set says
}

var errNoMark = errors.New("persist: the mark cannot be opened")

const (
	markFile  = "behind"
	markMagic = "hfbehind"
	markBytes = 4096
)

func markContent(set bool) []byte {
	b := bytes.Repeat([]byte{0}, markBytes)
	copy(b, markMagic)
	b[len(markMagic)] = '0'
	if set {
		b[len(markMagic)]++
	}
	return b
}

// decodeMark tells whether the mark stands. Anything but a clear "no" is yes.
func decodeMark(b []byte) bool {
	return len(b) != markBytes || string(b[:len(markMagic)+1]) != markMagic+"0"
}

// open opens the file, making it if there is none, and tells whether it stands. It
// may be called again, also after it failed.
func (m *mark) open(files journal.FS, dir string) (stands bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file != nil {
		return m.set, nil
	}
	path := filepath.Join(dir, markFile)
	b, err := files.ReadFile(path)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return true, fmt.Errorf("persist: read mark: %w", err)
	case missing || len(b) != markBytes:
		m.set = !missing
		m.file, err = files.Replace(dir, markFile, markContent(m.set))
	default:
		m.set = decodeMark(b)
		m.file, err = files.Update(path)
	}
	if err != nil {
		m.file = nil
		return true, fmt.Errorf("persist: open mark: %w", err)
	}
	return m.set, nil
}

// raise makes the mark stand, on the disk if synced says so. It is called before an
// unlogged event is handed out.
func (m *mark) raise(synced bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.set {
		if err := m.write(true); err != nil {
			return err
		}
		m.set, m.synced = true, false
	}
	if synced && !m.synced {
		if err := m.file.Sync(); err != nil {
			return err
		}
		m.synced = true
	}
	return nil
}

// lower takes the mark away if settled still says so once nobody can raise it.
func (m *mark) lower(settled func() bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.set || !settled() {
		return nil
	}
	if err := m.write(false); err != nil {
		return err
	}
	m.set, m.synced = false, false
	return nil
}

func (m *mark) write(set bool) error {
	if m.file == nil {
		return errNoMark
	}
	_, err := m.file.WriteAt(markContent(set)[len(markMagic):len(markMagic)+1], int64(len(markMagic)))
	return err
}

func (m *mark) stands() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set
}

func (m *mark) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil
	}
	err := m.file.Close()
	m.file = nil
	return err
}
