package journal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/persist/journal"
	"github.com/holdfast-edge/holdfast/persist/journal/journaltest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// rig is a journal on a disk that can fail.
type rig struct {
	t      *testing.T
	dir    string
	disk   *journaltest.Disk
	boot   bool // the next process finds the same kernel
	j      *journal.Journal
	got    []string // groups replayed by the last open
	damage []journal.Damage
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir(), boot: true}
	r.disk = journaltest.New(r.dir, false)
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	if err := r.tryOpen(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tryOpen() error {
	r.got = nil
	var err error
	r.j, r.damage, err = journal.Open(journal.Config{
		Dir: r.dir, FS: r.disk.FS(), SameBoot: r.boot, Now: func() time.Time { return time.Unix(1_700_000_000, 0) },
	}, func(_ uint64, group []byte) error {
		r.got = append(r.got, string(group))
		return nil
	})
	return err
}

func (r *rig) append(text string) error {
	_, err := r.j.Append(append(make([]byte, journal.FrameLen), text...))
	return err
}

func (r *rig) must(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		if err := r.append(text); err != nil {
			r.t.Fatalf("append %q: %v", text, err)
		}
	}
}

func (r *rig) sync() {
	r.t.Helper()
	if _, err := r.j.Sync(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) want(texts ...string) {
	r.t.Helper()
	if strings.Join(r.got, " ") != strings.Join(texts, " ") {
		r.t.Fatalf("replayed %q, want %q", r.got, texts)
	}
}

func (r *rig) wantDamage(n int) {
	r.t.Helper()
	if len(r.damage) != n {
		r.t.Fatalf("damage %v, want %d", r.damage, n)
	}
}

func (r *rig) files() string {
	r.t.Helper()
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func (r *rig) part(n uint64) string { return filepath.Join(r.dir, fmt.Sprintf("journal-%016x", n)) }

// patch changes a part's bytes behind the journal's back.
func (r *rig) patch(n uint64, change func([]byte) []byte) {
	r.t.Helper()
	b, err := os.ReadFile(r.part(n))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.part(n), change(b), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		return b
	}
}

func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }

func TestFormatIsPinned(t *testing.T) {
	r := newRig(t)
	r.must("first group")
	r.sync()
	r.must("second")
	b, err := os.ReadFile(r.part(1))
	if err != nil {
		t.Fatal(err)
	}
	golden := "testdata/part_v1.hex"
	if *update {
		if err := os.WriteFile(golden, []byte(hex.Dump(b)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if hex.Dump(b) != string(want) {
		t.Fatalf("the format changed:\n%s\nwant\n%s", hex.Dump(b), want)
	}
}

func TestGroupsComeBackInOrder(t *testing.T) {
	r := newRig(t)
	r.must("a", "b")
	through, err := r.j.Rotate()
	if err != nil || through != 1 {
		t.Fatal(through, err)
	}
	r.must("c")

	t.Log("after a kill")
	r.open()
	r.want("a", "b", "c")
	r.wantDamage(0)
	r.must("d")

	t.Log("after a proper end")
	if err := r.j.Close(); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.want("a", "b", "c", "d")

	t.Log("what was dropped does not")
	if err := r.j.Drop(2); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.want("d")
	if got := r.files(); got != "journal-0000000000000003 journal-0000000000000004 journal-0000000000000005" {
		t.Fatal(got)
	}
}

func TestTornTailIsCut(t *testing.T) {
	for name, c := range map[string]struct {
		sameBoot bool
		change   func([]byte) []byte
	}{
		"kill, payload cut":                  {true, cut(1)},
		"kill, header cut":                   {true, cut(len("third") + 4)},
		"power cut, payload cut":             {false, cut(1)},
		"power cut, payload not written":     {false, flip(-1)},
		"power cut, header not written":      {false, flip(-len("third") - 1)},
		"power cut, size but nothing in it":  {false, func(b []byte) []byte { return append(cut(21)(b), make([]byte, 21)...) }},
		"power cut, more than was written":   {false, func(b []byte) []byte { return append(cut(21)(b), make([]byte, 5000)...) }},
		"power cut, a hole in what was lost": {false, flip(32 + 16 + len("first") + 3)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.must("first")
			r.must("second", "third") // no sync between them: any may be lost
			r.patch(1, c.change)
			r.boot = c.sameBoot
			r.open()
			r.wantDamage(0)
			if len(r.got) != 2 && !strings.Contains(name, "hole") {
				t.Fatalf("replayed %q", r.got)
			}
			r.must("later")
			r.boot = true
			r.open()
			r.wantDamage(0)
			if last := r.got[len(r.got)-1]; last != "later" {
				t.Fatalf("replayed %q", r.got)
			}
		})
	}
}

func TestDamageIsTold(t *testing.T) {
	second := 32 + 16 + len("first")
	for name, c := range map[string]struct {
		sameBoot bool
		change   func([]byte) []byte
		replayed int
	}{
		"kill, flip in the last group":      {true, flip(-1), 2},
		"kill, flip in the last header":     {true, flip(-len("third") - 1), 2},
		"kill, flip in the last length":     {true, flip(-len("third") - 16), 2},
		"kill, flip in the middle":          {true, flip(second + 17), 1},
		"kill, flip in the part's header":   {true, flip(9), 0},
		"kill, page of zeros":               {true, func(b []byte) []byte { clear(b[second:]); return b }, 1},
		"power cut, flip in what was there": {false, flip(second + 17), 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.must("first", "second")
			r.sync()
			r.must("third")
			r.patch(1, c.change)
			r.boot = c.sameBoot
			r.open()
			r.wantDamage(1)
			if len(r.got) != c.replayed {
				t.Fatalf("replayed %q", r.got)
			}
			t.Log("it is told again until the part is set aside")
			r.open()
			r.wantDamage(1)
			if err := r.j.Drop(1); err != nil {
				t.Fatal(err)
			}
			if got := r.files(); !strings.Contains(got, "journal-0000000000000001.corrupt-1700000000") {
				t.Fatal(got)
			}
			r.open()
			r.wantDamage(0)
		})
	}

	t.Run("a part is missing", func(t *testing.T) {
		r := newRig(t)
		r.must("a")
		r.j.Rotate()
		r.must("b")
		r.j.Rotate()
		os.Remove(r.part(2))
		r.open()
		r.wantDamage(1)
		r.want("a")
	})
	t.Run("an earlier part is shorter", func(t *testing.T) {
		r := newRig(t)
		r.must("a", "b")
		r.j.Rotate()
		r.patch(1, cut(17))
		r.open()
		r.wantDamage(1)
		r.want("a")
	})
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	for _, errno := range []error{syscall.ENOSPC, syscall.EIO} {
		for _, short := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, short %v", errno, short), func(t *testing.T) {
				r := newRig(t)
				r.must("a")
				r.disk.Fail(func(c journaltest.Call) *journaltest.Fault {
					if c.Op != "write" {
						return nil
					}
					f := &journaltest.Fault{Err: errno}
					if short {
						f.Short = c.Size - 1
					}
					return f
				})
				if err := r.append("lost and rather long"); !errors.Is(err, errno) {
					t.Fatal(err)
				}
				r.disk.Fail(nil)
				r.must("b")
				r.open()
				r.want("a", "b")
				r.wantDamage(0)
			})
		}
	}
}

func TestTornWriteThatCannotBeCutStopsAppending(t *testing.T) {
	r := newRig(t)
	r.must("a")
	r.disk.Fail(func(c journaltest.Call) *journaltest.Fault {
		switch c.Op {
		case "write":
			return &journaltest.Fault{Err: syscall.ENOSPC, Short: c.Size / 2}
		case "truncate":
			return &journaltest.Fault{Err: syscall.EIO}
		}
		return nil
	})
	for range 3 {
		if err := r.append("lost and rather long"); err == nil {
			t.Fatal("appended")
		}
	}
	t.Log("killed now, what is torn is the end")
	b, err := os.ReadFile(r.part(1))
	if err != nil {
		t.Fatal(err)
	}
	other := newRig(t)
	other.patch(1, func([]byte) []byte { return b })
	other.open()
	other.want("a")
	other.wantDamage(0)

	r.disk.Fail(nil)
	r.must("b")
	r.open()
	r.want("a", "b")
	r.wantDamage(0)
}

func TestFailedSyncMovesTheGroupsOn(t *testing.T) {
	r := newRig(t)
	r.must("a")
	r.sync()
	r.must("b", "c")
	r.disk.FailNth("sync", "journal-", 1, syscall.EIO)
	r.sync()
	r.must("d")
	t.Log("the sealed part counts up to its last good sync, whatever it has")
	r.patch(1, flip(-1))
	r.open()
	r.wantDamage(0)
	r.want("a", "b", "c", "d")
}

func TestFailedSyncWithoutANewPartSealsTheJournal(t *testing.T) {
	r := newRig(t)
	r.must("a")
	r.sync()
	r.must("b")
	r.disk.Fail(func(c journaltest.Call) *journaltest.Fault {
		if c.Op == "sync" || c.Op == "create" {
			return &journaltest.Fault{Err: syscall.EIO}
		}
		return nil
	})
	for range 2 {
		if n, err := r.j.Sync(); err == nil || n != 2 {
			t.Fatal(n, err)
		}
		if err := r.append("no"); !errors.Is(err, journal.ErrSealed) {
			t.Fatal(err)
		}
	}
	r.disk.Fail(nil)
	r.sync()
	r.must("c")
	r.open()
	r.want("a", "b", "c")
	r.wantDamage(0)
}

// Every call of a session fails once; whatever was synced is there afterwards.
func TestEachCallFailsOnce(t *testing.T) {
	session := func(r *rig) (synced []string) {
		var waiting []string
		for i := range 12 {
			text := fmt.Sprintf("group-%d", i)
			if r.append(text) == nil {
				waiting = append(waiting, text)
			}
			if i%3 == 2 {
				if _, err := r.j.Sync(); err == nil {
					synced = append(synced, waiting...)
					waiting = nil
				}
			}
			if i == 6 {
				r.j.Rotate()
			}
		}
		if _, err := r.j.Sync(); err == nil {
			synced = append(synced, waiting...)
		}
		return synced
	}
	calls := 0
	for n := 1; n == 1 || n <= calls; n++ {
		r := newRig(t)
		seen := 0
		var failed journaltest.Call
		r.disk.Fail(func(c journaltest.Call) *journaltest.Fault {
			if seen++; seen != n {
				return nil
			}
			failed = c
			return &journaltest.Fault{Err: syscall.EIO, Short: c.Size / 3}
		})
		want := session(r)
		calls = max(calls, seen)
		r.disk.Fail(nil)
		r.open()
		if len(r.damage) > 0 {
			t.Fatalf("call %d (%+v): %v", n, failed, r.damage)
		}
		at := 0
		for _, group := range r.got {
			if at < len(want) && group == want[at] {
				at++
			}
		}
		if at != len(want) {
			t.Fatalf("call %d (%+v): replayed %q, want at least %q", n, failed, r.got, want)
		}
	}
	if calls < 20 {
		t.Fatalf("only %d calls were tried", calls)
	}
}

func TestAppendRefusesWhatIsTooLarge(t *testing.T) {
	r := newRig(t)
	if _, err := r.j.Append(make([]byte, journal.MaxGroup+1)); !errors.Is(err, journal.ErrTooLarge) {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("x"), journal.MaxGroup)
	full := 0
	for range 3 {
		if _, err := r.j.Append(append([]byte(nil), big...)); errors.Is(err, journal.ErrFull) {
			full++
		}
	}
	if full != 1 {
		t.Fatalf("%d of three large groups were refused, want the one over the bound of what waits for a sync", full)
	}
	r.sync()
	r.must("after the sync there is room")
}
