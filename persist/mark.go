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
	file   journal.File // guarded by mu
	set    bool         // guarded by mu
	synced bool         // guarded by mu: the disk has it as set says
}

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

// openMark opens the file, making it if there is none, and tells whether it stands.
func openMark(files journal.FS, dir string) (m *mark, stood bool, err error) {
	path := filepath.Join(dir, markFile)
	b, err := files.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err := files.WriteNew(dir, markFile, markContent(false))
		if err != nil {
			return nil, false, fmt.Errorf("persist: make mark: %w", err)
		}
		return &mark{file: f}, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("persist: read mark: %w", err)
	}
	if len(b) != markBytes {
		f, err := files.WriteNew(dir, markFile, markContent(true))
		if err != nil {
			return nil, false, fmt.Errorf("persist: make mark: %w", err)
		}
		return &mark{file: f, set: true}, true, nil
	}
	f, err := files.Update(path)
	if err != nil {
		return nil, false, fmt.Errorf("persist: open mark: %w", err)
	}
	stood = decodeMark(b)
	return &mark{file: f, set: stood}, stood, nil
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
	_, err := m.file.WriteAt(markContent(set)[len(markMagic):len(markMagic)+1], int64(len(markMagic)))
	return err
}

func (m *mark) stands() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set
}

func (m *mark) close() error { return m.file.Close() }
