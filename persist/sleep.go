package persist

import (
	"github.com/holdfast-edge/holdfast/persist/journal"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// Sleeper is told of every call in which a thread waits for the disk: Go's scheduler
// takes up to 20 ms to notice, and the thread keeps a processor meanwhile. Any
// goroutine calls it.
type Sleeper interface {
	Sleep()
	Awake()
}

// nobody is told.
type nobody struct{}

func (nobody) Sleep() {}
func (nobody) Awake() {}

// told is fs with a Sleeper that knows of each sync.
func told(fs journal.FS, s Sleeper) journal.FS {
	file := func(open func(string) (journal.File, error)) func(string) (journal.File, error) {
		return func(name string) (journal.File, error) {
			f, err := open(name)
			if err != nil {
				return nil, err
			}
			return toldFile{f, s}, nil
		}
	}
	fs.Create, fs.Update = file(fs.Create), file(fs.Update)
	syncDir := fs.SyncDir
	fs.SyncDir = func(dir string) error {
		s.Sleep()
		defer s.Awake()
		return syncDir(dir)
	}
	return fs
}

// toldFile is a file whose syncs are told of.
type toldFile struct {
	journal.File
	sleeper Sleeper
}

// Sync implements journal.File.
func (f toldFile) Sync() error {
	f.sleeper.Sleep()
	defer f.sleeper.Awake()
	return f.File.Sync()
}

// commit writes to the segments.
func (l *Log) commit(b *segment.Batch) error {
	l.cfg.Sleeper.Sleep()
	defer l.cfg.Sleeper.Awake()
	return l.store.Commit(b)
}
