package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what Open is told.
type Config struct {
	// Dir holds the parts and nothing else; created 0700.
	Dir string
	// FS is the seam to the file system; its zero value is the real one.
	FS FS
	// SameBoot: the kernel that the former process wrote to still runs, or that
	// process closed the journal, so whatever it wrote must be there.
	SameBoot bool
	// Now names the time that a damaged part is set aside with. Required.
	Now func() time.Time
	// KeptBytes bounds the groups that are kept in memory until they are synced.
	// Default 128 MiB. Beyond it Append answers ErrFull.
	KeptBytes int64
}

// Damage is a part that has lost groups.
type Damage struct {
	Part uint64
	Err  error
}

// Journal appends groups to the newest part.
type Journal struct {
	// Immutable after Open.
	cfg Config

	// sync is held by the one of Sync, Rotate, Drop and Close that runs. It is taken
	// before mu.
	sync sync.Mutex
	old  []oldPart // guarded by sync: parts before the newest, in order

	unsynced atomic.Int64 // bytes kept; any goroutine

	mu struct {
		sync.Mutex
		part   uint64
		file   File  // nil: no part could be made yet
		end    int64 // good bytes of the part
		torn   bool  // bytes beyond end may be there
		synced int64 // bytes of the part that are on disk for sure

		groups   uint64 // accepted since Open: the last one's number
		onDisk   uint64 // number of the last one that is on disk for sure
		kept     []kept // groups after onDisk, in order
		keptSize int64

		sealed bool
		closed bool
	}
}

// kept is a group that waits for a sync.
type kept struct {
	number uint64
	bytes  []byte // frame header included; never changed but for that header
	sum    uint32
}

// oldPart is a part that takes no more groups.
type oldPart struct {
	part    uint64
	damaged bool // set aside instead of being removed
}

// DefaultKeptBytes is used when Config.KeptBytes is 0.
const DefaultKeptBytes = 128 << 20

// Open reads all parts in order, calls replay with every group, which may keep it,
// and starts a new part. It returns the parts that have lost groups; they stay in
// place until they are dropped. An error of replay ends it. A disk on which no part
// can be made does not: the journal is sealed then, as after a failed sync.
func Open(cfg Config, replay func(part uint64, group []byte) error) (*Journal, []Damage, error) {
	cfg.FS = cfg.FS.OrOS()
	if cfg.KeptBytes == 0 {
		cfg.KeptBytes = DefaultKeptBytes
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("open journal: %w", err)
	}
	r := reader{cfg: cfg, replay: replay}
	if err := r.run(); err != nil {
		return nil, nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{cfg: cfg, old: r.old}
	if err := j.start(r.next, r.end, nil); err != nil {
		j.mu.part, j.mu.synced, j.mu.end, j.mu.sealed = r.next-1, r.end, r.end, true
	}
	return j, r.damage, nil
}

// start makes part the newest one, with groups in it. mu is held, or nobody else
// has the journal yet.
func (j *Journal) start(part uint64, previous int64, groups []kept) error {
	chunks := make([][]byte, 0, 1+len(groups))
	chunks = append(chunks, appendHeader(nil, part, previous))
	end := int64(headerLen)
	for _, g := range groups {
		putFrame(g.bytes, g.sum, part, end, headerLen)
		chunks = append(chunks, g.bytes)
		end += int64(len(g.bytes))
	}
	f, err := j.cfg.FS.WriteNew(j.cfg.Dir, partName(part), chunks...)
	if err != nil {
		return err
	}
	m := &j.mu
	m.part, m.file, m.end, m.synced, m.torn, m.sealed = part, f, end, end, false, false
	m.kept, m.keptSize, m.onDisk = nil, 0, m.groups
	j.unsynced.Store(0)
	return nil
}

// Append writes a group, whose first FrameLen bytes are room for the frame's header,
// with one write. It returns the group's number, which counts from 1 and is what
// Sync answers with. The journal keeps group until it is synced; nobody may change
// it any more. On an error nothing was appended.
func (j *Journal) Append(group []byte) (number uint64, err error) {
	if len(group) > MaxGroup {
		return 0, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(group))
	}
	sum := groupSum(group)
	m := &j.mu
	m.Lock()
	defer m.Unlock()
	switch {
	case m.closed:
		return 0, ErrClosed
	case m.sealed:
		return 0, ErrSealed
	case m.keptSize+int64(len(group)) > j.cfg.KeptBytes, m.end+int64(len(group)) > maxPart:
		return 0, ErrFull
	}
	if m.torn {
		// A shorter frame would leave the rest of the torn one behind it, which could
		// not be told from damage.
		if err := m.file.Truncate(m.end); err != nil {
			return 0, fmt.Errorf("journal: cut part %x at %d: %w", m.part, m.end, err)
		}
		m.torn = false
	}
	putFrame(group, sum, m.part, m.end, m.synced)
	n, err := m.file.WriteAt(group, m.end)
	if err != nil || n != len(group) {
		m.torn = n != 0
		if m.torn && m.file.Truncate(m.end) == nil {
			m.torn = false
		}
		if err == nil {
			err = errors.New("short write")
		}
		return 0, fmt.Errorf("journal: write part %x at %d: %w", m.part, m.end, err)
	}
	m.end += int64(len(group))
	m.groups++
	m.kept = append(m.kept, kept{number: m.groups, bytes: group, sum: sum})
	m.keptSize += int64(len(group))
	j.unsynced.Store(m.keptSize)
	return m.groups, nil
}

// Bytes is the size of the newest part.
func (j *Journal) Bytes() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.end
}

// Unsynced is how many bytes wait for a sync. It takes no lock.
func (j *Journal) Unsynced() int64 { return j.unsynced.Load() }

// Groups is the number of the last group that was appended.
func (j *Journal) Groups() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.groups
}

// Close syncs and closes the newest part.
func (j *Journal) Close() error {
	_, err := j.Sync()
	j.sync.Lock()
	defer j.sync.Unlock()
	m := &j.mu
	m.Lock()
	defer m.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	if m.file != nil {
		err = errors.Join(err, m.file.Close())
	}
	return err
}

func (j *Journal) path(part uint64) string { return filepath.Join(j.cfg.Dir, partName(part)) }
