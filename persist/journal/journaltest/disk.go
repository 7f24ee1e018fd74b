package journaltest

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/holdfast-edge/holdfast/persist/journal"
)

// Disk is a recording, failing file system below one directory.
type Disk struct {
	// Immutable after New.
	root string
	real journal.FS

	mu     sync.Mutex
	steps  []step            // guarded by mu
	names  map[string]int    // guarded by mu: path below root -> inode
	inodes int               // guarded by mu: the last one's number
	fault  func(Call) *Fault // guarded by mu
	record bool              // guarded by mu
}

// Call is one call to the file system.
type Call struct {
	Op   string // create, update, read, rename, remove, list, syncdir, write, truncate, sync
	Name string // below the root
	Size int    // of a write
}

// Fault is how a call fails: after short bytes of a write, with an error.
type Fault struct {
	Err   error
	Short int
}

// step is one remembered change.
type step struct {
	op       string
	name, to string
	inode    int
	off      int64
	data     []byte
	note     any
}

// New is a disk over the directory root, which must be empty. It remembers if record
// says so.
func New(root string, record bool) *Disk {
	return &Disk{root: root, real: journal.OS(), names: map[string]int{}, record: record}
}

// Fail makes fault decide about every call from now on; nil lets all pass.
func (d *Disk) Fail(fault func(Call) *Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// FailNth makes the nth call of an operation on names with the prefix fail, once.
func (d *Disk) FailNth(op, prefix string, n int, err error) {
	d.Fail(func(c Call) *Fault {
		if c.Op != op || !strings.HasPrefix(c.Name, prefix) {
			return nil
		}
		if n--; n != 0 {
			return nil
		}
		return &Fault{Err: err, Short: c.Size / 2}
	})
}

// Steps is how many changes are remembered.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.steps)
}

// Note remembers something of the test's own between two changes.
func (d *Disk) Note(note any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(step{op: "note", note: note})
}

func (d *Disk) add(s step) {
	if d.record {
		d.steps = append(d.steps, s)
	}
}

// ask tells whether a call fails. mu is held.
func (d *Disk) ask(op, name string, size int) *Fault {
	if d.fault == nil {
		return nil
	}
	return d.fault(Call{Op: op, Name: name, Size: size})
}

// call runs one call that is no write.
func (d *Disk) call(op, name string, do func() error, s step) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.ask(op, name, 0); f != nil {
		return &fs.PathError{Op: op, Path: name, Err: f.Err}
	}
	if err := do(); err != nil {
		return err
	}
	d.add(s)
	return nil
}

func (d *Disk) below(path string) string {
	rel, err := filepath.Rel(d.root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		panic(fmt.Sprintf("journaltest: %s is not below %s", path, d.root))
	}
	return rel
}

// FS is the disk as the log sees it.
func (d *Disk) FS() journal.FS {
	return journal.FS{
		Create: func(path string) (journal.File, error) { return d.open("create", path, d.real.Create) },
		Update: func(path string) (journal.File, error) { return d.open("update", path, d.real.Update) },
		ReadFile: func(path string) (b []byte, err error) {
			err = d.call("read", d.below(path), func() error { b, err = d.real.ReadFile(path); return err }, step{op: "read"})
			return b, err
		},
		Rename: func(from, to string) error {
			a, b := d.below(from), d.below(to)
			return d.call("rename", b, func() error {
				d.names[b] = d.names[a]
				delete(d.names, a)
				return d.real.Rename(from, to)
			}, step{op: "rename", name: a, to: b})
		},
		Remove: func(path string) error {
			name := d.below(path)
			return d.call("remove", name, func() error {
				delete(d.names, name)
				return d.real.Remove(path)
			}, step{op: "remove", name: name})
		},
		List: func(dir string) (names []string, err error) {
			err = d.call("list", d.below(dir), func() error { names, err = d.real.List(dir); return err }, step{op: "read"})
			return names, err
		},
		SyncDir: func(dir string) error {
			name := d.below(dir)
			return d.call("syncdir", name, func() error { return nil }, step{op: "syncdir", name: name})
		},
	}
}

func (d *Disk) open(op, path string, real func(string) (journal.File, error)) (journal.File, error) {
	name := d.below(path)
	f := &file{disk: d, name: name}
	d.mu.Lock()
	defer d.mu.Unlock()
	if fault := d.ask(op, name, 0); fault != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fault.Err}
	}
	var err error
	if f.real, err = real(path); err != nil {
		return nil, err
	}
	f.inode = d.names[name]
	if op == "create" || f.inode == 0 {
		d.inodes++
		f.inode = d.inodes
		d.names[name] = f.inode
		d.add(step{op: "create", name: name, inode: f.inode})
	}
	return f, nil
}

// file is an open file of the disk. It is not synced for real: what a power cut
// leaves is decided by what was remembered.
type file struct {
	disk  *Disk
	real  journal.File
	name  string
	inode int
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	var fail error
	if fault := d.ask("write", f.name, len(p)); fault != nil {
		p = p[:min(fault.Short, len(p))]
		fail = &fs.PathError{Op: "write", Path: f.name, Err: fault.Err}
	}
	n, err := f.real.WriteAt(p, off)
	if err != nil {
		return n, err
	}
	if n > 0 {
		d.add(step{op: "write", inode: f.inode, off: off, data: append([]byte(nil), p...)})
	}
	return n, fail
}

func (f *file) Truncate(size int64) error {
	return f.disk.call("truncate", f.name, func() error { return f.real.Truncate(size) },
		step{op: "truncate", inode: f.inode, off: size})
}

func (f *file) Sync() error {
	return f.disk.call("sync", f.name, func() error { return nil }, step{op: "sync", inode: f.inode})
}

func (f *file) Close() error { return f.real.Close() }
