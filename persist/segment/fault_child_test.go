package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fault is a system call on a file that fails from some moment on, really: a
// seccomp filter in a child process makes the kernel answer with an error. A filter
// cannot be taken back, so it names a descriptor, and each fault has its own child.
type fault struct {
	call  uintptr
	errno syscall.Errno
	file  string // prefix of the name of the file whose call fails
	early bool   // from its opening on, not only from the second half of the test on
	full  bool   // Commit must say ErrFull, and keeps saying it
	start bool   // it fails at a start, for one attempt
}

var faults = map[string]fault{
	"a segment's write fails":               {call: unix.SYS_PWRITE64, errno: unix.EIO, file: "seg-"},
	"a segment's sync fails":                {call: unix.SYS_FDATASYNC, errno: unix.EIO, file: "seg-"},
	"a segment cannot grow":                 {call: unix.SYS_FTRUNCATE, errno: unix.EIO, file: "seg-", early: true},
	"a segment cannot be mapped":            {call: unix.SYS_MMAP, errno: unix.ENOMEM, file: "seg-", early: true},
	"a new segment's write fails":           {call: unix.SYS_PWRITE64, errno: unix.EIO, file: "seg-", early: true},
	"a new segment's sync fails":            {call: unix.SYS_FDATASYNC, errno: unix.EIO, file: "seg-", early: true},
	"a segment's disk is full":              {call: unix.SYS_PWRITE64, errno: unix.ENOSPC, file: "seg-", full: true},
	"heads.db's write fails":                {call: unix.SYS_PWRITE64, errno: unix.EIO, file: HeadsFile},
	"heads.db's sync fails":                 {call: unix.SYS_FDATASYNC, errno: unix.EIO, file: HeadsFile},
	"heads.db's disk is full":               {call: unix.SYS_PWRITE64, errno: unix.ENOSPC, file: HeadsFile, full: true},
	"heads.db cannot be mapped at a start":  {call: unix.SYS_MMAP, errno: unix.ENOMEM, file: HeadsFile, start: true},
	"heads.db cannot be written at a start": {call: unix.SYS_PWRITE64, errno: unix.EIO, file: HeadsFile, start: true},
	"heads.db cannot be synced at a start":  {call: unix.SYS_FDATASYNC, errno: unix.EIO, file: HeadsFile, start: true},
	"a segment cannot be mapped at a start": {call: unix.SYS_MMAP, errno: unix.ENOMEM, file: "seg-", start: true},
	"the first heads.db cannot be mapped":   {call: unix.SYS_MMAP, errno: unix.ENOMEM, file: HeadsFile, start: true, early: true},
	"the first heads.db cannot be written":  {call: unix.SYS_PWRITE64, errno: unix.ENOSPC, file: HeadsFile, start: true, early: true},

	"the quota is full": {call: unix.SYS_PWRITE64, errno: unix.EDQUOT, file: "seg-", full: true},
}

func TestFailingSystemCalls(t *testing.T) {
	for name := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], filepath.Join(t.TempDir(), "segments"))
			cmd.Env = append(os.Environ(), childEnv+"="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// faultChild runs in the child.
func faultChild(name, dir string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Println(p)
			code = 1
		}
	}()
	f, ok := faults[name]
	if !ok {
		panic("no such fault: " + name)
	}
	f.run(dir)
	return 0
}

// child is the store of a child with what it was promised.
type child struct {
	*Store
	cfg   Config
	acked uint64

	mu    sync.Mutex
	files map[string]*os.File // opened last, by prefix of the name
	armed string              // prefix of the next file whose opening arms the fault
	bad   uintptr             // descriptor whose calls fail
}

// fresh keeps other files from getting the number of the descriptor that fails.
func (c *child) fresh(file *os.File) *os.File {
	if c.bad == 0 || file.Fd() != c.bad {
		return file
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, int(c.bad)+1)
	must(err)
	must(file.Close())
	return os.NewFile(uintptr(fd), file.Name())
}

func (f fault) run(dir string) {
	c := &child{files: map[string]*os.File{}}
	clock := newClock()
	c.cfg = Config{Dir: dir, SegmentBytes: 1 << 20, HeadBytes: 64 << 20, Now: clock.Now}
	c.cfg.Hooks.OpenFile = func(name string, flag int, perm os.FileMode) (*os.File, error) {
		file, err := os.OpenFile(name, flag, perm)
		if err != nil {
			return nil, err
		}
		c.mu.Lock() // Open opens several files at a time
		defer c.mu.Unlock()
		file = c.fresh(file)
		for _, prefix := range []string{"seg-", HeadsFile} {
			if strings.HasPrefix(filepath.Base(name), prefix) {
				c.files[prefix] = file
				if c.armed == prefix {
					c.armed = ""
					c.arm(f, file)
				}
			}
		}
		return file, nil
	}
	if f.start {
		c.startWith(f)
		return
	}
	c.open()
	for range 5 {
		must(c.publish())
	}
	if f.early {
		c.armed = f.file
		clock.Advance(time.Hour) // the next commit makes a file
	} else {
		c.arm(f, c.files[f.file])
	}
	before := c.acked
	err := c.publish()
	if err == nil {
		panic("Commit succeeded though a system call failed")
	}
	if errors.Is(err, ErrFull) != f.full || errors.Is(err, ErrDamaged) {
		panic(fmt.Sprintf("Commit: %v; full: %v", err, f.full))
	}
	c.want(before)
	if f.full {
		if err := c.publish(); !errors.Is(err, ErrFull) {
			panic(fmt.Sprintf("Commit on a disk that is still full: %v", err))
		}
	} else {
		// The same batch again, and more.
		for range 5 {
			must(c.publish())
		}
	}
	c.want(c.acked)
	// After kill -9.
	c.closed = true
	must(c.closeFiles(false))
	c.cache.close()
	c.open()
	c.want(c.acked)
	must(c.publish())
	c.want(c.acked)
	must(c.Close())
	report, err := Check(dir)
	must(err)
	if report.Damaged() > 0 || len(report.SetAside) > 0 || !report.Clean {
		panic(fmt.Sprintf("check: %+v", report))
	}
}

// startWith starts while a file cannot be opened, the first time ever (early) or
// after a run. The store serves without the file and has it back at the next attempt.
func (c *child) startWith(f fault) {
	if !f.early {
		c.open()
		for range 5 {
			must(c.publish())
		}
		must(c.Close())
	}
	c.armed = f.file
	c.open()
	if c.armed != "" {
		panic("the file was not opened")
	}
	mapped := f.call == unix.SYS_MMAP
	if _, _, err := c.Head("a"); errors.Is(err, ErrUnavailable) != (mapped && f.file == HeadsFile && !f.early) {
		panic(fmt.Sprint("head while heads.db is away: ", err))
	}
	if err := c.Read("a", 0, c.acked, 0, 0, func(*Record) bool { return true }); errors.Is(err, ErrUnavailable) != (f.file == "seg-") {
		panic(fmt.Sprint("read while a segment is away: ", err))
	}
	_, err := c.Retain(c.cfg.Now())
	must(err)
	if err := c.publish(); err != nil {
		must(c.publish()) // the same again
	}
	must(c.publish())
	c.want(c.acked)
	must(c.Close())
	c.open()
	c.want(c.acked)
	must(c.Close())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (c *child) open() {
	s, damage, err := Open(c.cfg)
	must(err)
	if len(damage) > 0 {
		panic(fmt.Sprint(damage))
	}
	c.Store = s
}

// publish commits the next 100 events.
func (c *child) publish() error {
	b := &Batch{Heads: []Head{{Key: "a", Epoch: "epoch000", Seq: c.acked + 100}}}
	for seq := c.acked + 1; seq <= c.acked+100; seq++ {
		b.Records = append(b.Records, Record{Key: "a", Class: 1, Seq: seq, TimeMS: c.cfg.Now().UnixMilli(), Payload: payloadOf("a", seq)})
	}
	err := c.Commit(b)
	if err == nil {
		c.acked += 100
	}
	return err
}

// want expects the events 1 … acked and a head that is not behind.
func (c *child) want(acked uint64) {
	next := uint64(1)
	must(c.Read("a", 0, acked, 0, 0, func(r *Record) bool {
		if r.Seq != next || string(r.Payload) != string(payloadOf("a", next)) {
			panic(fmt.Sprintf("seq %d, want %d", r.Seq, next))
		}
		next++
		return true
	}))
	if next != acked+1 {
		panic(fmt.Sprintf("%d events, want %d", next-1, acked))
	}
	h, ok, err := c.Head("a")
	must(err)
	if !ok || h.Seq < acked || h.Seq > acked+100 {
		panic(fmt.Sprintf("head %+v, want %d", h, acked))
	}
}

// arm makes the call fail on the file, for all threads of this process, for good.
func (c *child) arm(f fault, file *os.File) {
	c.bad = file.Fd()
	arg := uint32(0)
	if f.call == unix.SYS_MMAP {
		arg = 4
	}
	const number, args = 0, 16 // offsets in struct seccomp_data; words are little-endian
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(f.call), Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: args + 8*arg},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(c.bad), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(f.errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		panic(fmt.Sprint("seccomp: ", errno))
	}
}

// A step that fails once, whichever it is, loses nothing and is repeated.
func TestEachStepFailsOnce(t *testing.T) {
	for name, fault := range map[string]error{
		"EIO":    syscall.EIO,
		"ENOSPC": &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC},
	} {
		steps := map[Step]int{}
		for failing := 1; ; failing++ {
			n, failed := 0, Step("")
			d := &desk{t: t, clock: newClock()}
			d.cfg = Config{Dir: filepath.Join(t.TempDir(), "segments"), SegmentBytes: 1 << 20, HeadBytes: 64 << 20, Now: d.clock.Now,
				Damaged: func(dmg Damage) { t.Errorf("%s at step %d: damage %v", name, failing, dmg) }}
			d.cfg.Hooks.Step = func(step Step, path string) error {
				if n++; n == failing {
					failed = step
					return fault
				}
				return nil
			}
			d.runWithFault(func() bool { return failed != "" })
			if failed == "" {
				break // there is no such step any more
			}
			steps[failed]++
		}
		for _, step := range []Step{StepCreate, StepRename, StepSyncDir, StepCommit, StepUnlink} {
			if steps[step] == 0 {
				t.Errorf("%s: no step %q ever failed: %v", name, step, steps)
			}
		}
		t.Logf("%s: %v", name, steps)
	}
}

// runWithFault opens, commits into two classes, rotates, retains, closes and opens
// again. What fails is done once more.
func (d *desk) runWithFault(failed func() bool) {
	d.t.Helper()
	again := func(what string, f func() error) {
		d.t.Helper()
		err := f()
		if err != nil && failed() {
			err = f()
		}
		if err != nil {
			d.t.Fatalf("%s, after the fault was over: %v", what, err)
		}
	}
	open := func() error {
		s, damage, err := Open(d.cfg)
		if err == nil && len(damage) > 0 {
			err = fmt.Errorf("damage: %v", damage)
		}
		d.Store = s
		return err
	}
	again("open", open)
	for i := range uint64(3) {
		b := &Batch{Heads: []Head{{Key: "a", Epoch: "epoch000", Seq: 20*i + 20, TimeMS: d.clock.MS()}}}
		for seq := 20*i + 1; seq <= 20*i+20; seq++ {
			b.Records = append(b.Records, d.record("a", seq, Class(seq%2)))
		}
		again("commit", func() error { return d.Commit(b) })
		d.Want("a", 0, 20*i+20, 1, 20*i+20)
		d.clock.Advance(7 * time.Minute)
	}
	d.WantHead("a", 60)
	again("retain", func() error { _, err := d.Retain(d.clock.Now()); return err })
	n := 0
	if err := d.Read("a", 0, 60, 0, 0, func(r *Record) bool { n++; return true }); err != nil || n != 40 && n != 50 {
		d.t.Fatalf("%d events after retention, %v", n, err)
	}
	if err := d.Close(); err != nil && !failed() {
		d.t.Fatalf("close: %v", err)
	}
	again("open again", open)
	d.WantHead("a", 60)
	d.Want("a", 40, 60, 41, 60)
	if err := d.Close(); err != nil && !failed() {
		d.t.Fatalf("close again: %v", err)
	}
	d.Check()
}
