package segment

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWhatWasCommittedIsRead(t *testing.T) {
	d := newDesk(t)
	d.Publish("app/orders", 0, 1, 100)
	d.Publish("app/orders2", 0, 1, 3)

	t.Log("any part, in order, never beyond the channel")
	d.Want("app/orders", 0, 100, 1, 100)
	d.Want("app/orders", 41, 42, 42, 42)
	d.Want("app/orders", 41, 1000, 42, 100)
	d.Want("app/orders2", 0, 100, 1, 3)
	d.WantNone("app/orders", 100, 200)
	d.WantNone("app/order", 0, 200)
	d.WantNone("app/orders", 7, 7)

	t.Log("the bounds")
	n := 0
	if err := d.Read("app/orders", 0, 100, 7, 0, func(*Record) bool { n++; return true }); err != nil || n != 7 {
		t.Fatalf("at most 7 records: %d, %v", n, err)
	}
	n = 0
	if err := d.Read("app/orders", 0, 100, 0, 200, func(r *Record) bool { n += len(r.Payload); return true }); err != nil || n < 200 || n > 400 {
		t.Fatalf("about 200 bytes: %d, %v", n, err)
	}
	n = 0
	if err := d.Read("app/orders", 0, 100, 0, 0, func(*Record) bool { n++; return n < 5 }); err != nil || n != 5 {
		t.Fatalf("visit said stop at 5: %d, %v", n, err)
	}

	t.Log("all fields come back")
	want := d.record("app/orders", 99, 0)
	err := d.Read("app/orders", 98, 99, 1, 0, func(r *Record) bool {
		if r.Key != want.Key || r.Seq != 99 || r.TimeMS != want.TimeMS || r.Total != want.Total || r.Flags != want.Flags ||
			string(r.Origin) != string(want.Origin) || string(r.Payload) != string(want.Payload) {
			t.Errorf("got %+v, want %+v", r, want)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRestartsKeepEverything(t *testing.T) {
	for name, end := range map[string]func(*desk){"closed": (*desk).Shut, "killed": (*desk).Crash} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			if d.WasClean() {
				t.Error("a new directory was clean before")
			}
			for i := range uint64(5) {
				d.Publish("a", 0, 10*i+1, 10*i+10)
				d.Publish("b", 3, 10*i+1, 10*i+10)
				end(d)
				d.Open()
				if d.WasClean() != (name == "closed") {
					t.Errorf("WasClean = %v after it was %s", d.WasClean(), name)
				}
				d.Want("a", 0, 10*i+10, 1, 10*i+10)
				d.Want("b", 3, 10*i+10, 4, 10*i+10)
				d.WantHead("a", 10*i+10)
			}
			d.Shut()
			r := d.Check()
			if r.Heads != 2 || !r.Clean || len(r.Files) != 11 {
				t.Errorf("check: %+v", r)
			}
			for _, f := range r.Files {
				if f.Name != HeadsFile && (!f.Sealed || f.Records != 10 || f.Channels != 1 || f.Holes != 0) {
					t.Errorf("check: %+v", f)
				}
			}
		})
	}
}

func TestRepeatedCommitsChangeNothing(t *testing.T) {
	d := newDesk(t)
	for range 3 {
		d.Publish("a", 1, 1, 20)
	}
	d.Want("a", 0, 20, 1, 20)

	t.Log("also across files")
	d.Crash()
	d.Open()
	d.Publish("a", 1, 11, 30)
	d.Want("a", 0, 30, 1, 30)
	d.Want("a", 5, 15, 6, 15)
}

func TestARuleMayChangeItsClass(t *testing.T) {
	d := newDesk(t)
	for i := range uint64(12) {
		d.Publish("a", Class(i%Classes), 50*i+1, 50*i+50)
	}
	d.Want("a", 0, 600, 1, 600)
	d.Want("a", 75, 425, 76, 425)
	if n := len(d.Segments()); n != Classes {
		t.Errorf("%d files, want one for each class", n)
	}
}

// After a lost heads.db a channel counts from 1 again. Records of the former life
// must not be taken for those of the new one.
func TestTheLaterFileIsRight(t *testing.T) {
	for _, class := range []Class{0, 2} {
		d := newDesk(t)
		old := d.record("a", 1, 1)
		for seq := uint64(1); seq <= 50; seq++ {
			r := old
			r.Seq, r.Payload = seq, []byte("former life")
			d.Put(&Batch{Records: []Record{r}})
		}
		d.Crash()
		d.Open()
		d.Publish("a", class, 1, 5)
		d.Publish("a", 1, 6, 9)
		d.Want("a", 0, 9, 1, 9)
		d.Want("a", 3, 9, 4, 9)
		d.Want("a", 3, 5, 4, 5)
	}
}

func TestFilesRotateByAgeAndSize(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 10)
	d.Publish("a", 1, 11, 20)
	d.clock.Advance(59 * time.Second)
	d.Publish("a", 0, 21, 30)
	if n := len(d.Segments()); n != 2 {
		t.Fatalf("%d files before the age, want 2", n)
	}
	d.clock.Advance(time.Second)
	d.Publish("a", 0, 31, 40)
	d.Publish("a", 1, 41, 50)
	if n := len(d.Segments()); n != 3 {
		t.Fatalf("%d files: the short class rotates, the longer does not; want 3", n)
	}
	seq := uint64(51)
	for len(d.Segments()) < 6 {
		d.Publish("a", 1, seq, seq+199)
		seq += 200
	}
	d.Want("a", 0, seq-1, 1, seq-1)
	if st := d.Stats(); st.FileRecords[0]+st.FileRecords[1] != seq-1 || st.Files[1] != 4 {
		t.Errorf("stats: %+v", st)
	}
}

func TestRetainUnlinksWholeFiles(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 10)
	d.clock.Advance(5 * time.Minute)
	d.Publish("a", 0, 11, 20)
	d.clock.Advance(5 * time.Minute)
	if dropped, err := d.Retain(d.clock.Now()); err != nil || len(dropped) != 0 {
		t.Fatalf("nothing is older than ten minutes: %v, %v", dropped, err)
	}
	d.clock.Advance(time.Millisecond)
	dropped, err := d.Retain(d.clock.Now())
	if err != nil || len(dropped) != 1 || dropped[0].Records != 10 || dropped[0].Full {
		t.Fatalf("dropped %+v, %v", dropped, err)
	}
	d.Want("a", 0, 20, 11, 20)

	t.Log("a channel that fell silent does not keep its file")
	d.clock.Advance(time.Hour)
	if _, err := d.Retain(d.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if names := d.Names(); !slices.Equal(names, []string{HeadsFile}) {
		t.Errorf("left: %v", names)
	}
	d.WantHead("a", 20)
}

func TestRetainKeepsTheDiskBound(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.DiskBytes = 16 << 20 })
	big := strings.Repeat("p", 8<<10)
	var b Batch
	for seq := uint64(1); seq <= 4000; seq++ {
		r := d.record("a", seq, 3)
		r.Payload = []byte(big)
		b.Records = append(b.Records, r)
		if seq%20 == 0 {
			d.Put(&b)
			b.Records = nil
		}
		if seq%100 == 0 {
			d.clock.Advance(time.Second)
			if _, err := d.Retain(d.clock.Now()); err != nil {
				t.Fatal(err)
			}
			if n := d.diskBytes(); n > d.cfg.DiskBytes {
				t.Fatalf("%d bytes on disk, bound %d", n, d.cfg.DiskBytes)
			}
		}
	}
	first := uint64(0)
	if err := d.Read("a", 0, 4000, 1, 0, func(r *Record) bool { first = r.Seq; return true }); err != nil {
		t.Fatal(err)
	}
	if first < 2000 || first > 3000 {
		t.Errorf("the oldest record kept is %d; 16 MiB hold about 1,300", first)
	}
}

func TestHeadsComeAndGo(t *testing.T) {
	d := newDesk(t)
	want := Head{
		Key: "app/cache-x", Epoch: "k3f9k3f9", Start: 7, Seq: 41, Total: 5000, TimeMS: 1700000000123, Life: 3,
		Durable: true, Last: []byte("last event"), LastSeq: 40, LastTimeMS: 1700000000100,
	}
	empty := Head{Key: "app/empty", Epoch: "k3f9k3f9", Last: []byte{}}
	d.Put(&Batch{Heads: []Head{want, empty}})
	for range 2 {
		got, ok, err := d.Head(want.Key)
		if err != nil || !ok || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %+v %v %v, want %+v", got, ok, err, want)
		}
		if got, _, _ := d.Head(empty.Key); got.Last == nil {
			t.Error("an empty last event became none")
		}
		if _, ok, err := d.Head("app/none"); ok || err != nil {
			t.Errorf("a head of nobody: %v %v", ok, err)
		}
		d.Shut()
		d.Open()
	}
	d.Put(&Batch{DropHeads: []string{want.Key, empty.Key, "app/none"}, Heads: []Head{empty}})
	if _, ok, _ := d.Head(want.Key); ok || d.MayHaveHead(want.Key) {
		t.Error("a dropped head is still there")
	}
	if _, ok, _ := d.Head(empty.Key); !ok {
		t.Error("a head that the same batch wrote was dropped")
	}
}

func TestOldHeadsAreFoundInParts(t *testing.T) {
	d := newDesk(t)
	for i := range 100 {
		d.Publish(fmt.Sprintf("ch-%03d", i), 0, 1, 1)
		d.clock.Advance(time.Second)
	}
	limit := newClock().Now().Add(40 * time.Second).UnixMilli()
	var old []string
	for after := ""; ; {
		part, next, err := d.OldHeads(after, limit, 7)
		if err != nil {
			t.Fatal(err)
		}
		old = append(old, part...)
		if after = next; next == "" {
			break
		}
	}
	if len(old) != 40 || old[0] != "ch-000" || old[39] != "ch-039" {
		t.Errorf("old heads: %v", old)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.KeepKeys = 50 })
	key := func(i int, ms int64) Key {
		return Key{ID: []byte(fmt.Sprintf("id-%d", i)), TimeMS: ms, Value: []byte(fmt.Sprint("value ", i))}
	}
	want := func(i int, there bool) {
		t.Helper()
		k, ok, err := d.Lookup(key(i, 0).ID)
		if err != nil || ok != there || ok && string(k.Value) != fmt.Sprint("value ", i) {
			t.Fatalf("key %d: %+v %v %v, want %v", i, k, ok, err, there)
		}
	}
	for i := range 60 {
		d.Put(&Batch{Keys: []Key{key(i, int64(1000+i))}})
	}
	t.Log("the oldest go beyond the bound")
	want(9, false)
	want(10, true)
	t.Log("the same key again counts once and takes the new time")
	d.Put(&Batch{Keys: []Key{key(10, 2000)}})
	want(11, true)
	d.Put(&Batch{DropKeysBefore: 1030})
	want(10, true)
	want(29, false)
	want(30, true)
	d.Crash()
	d.Open()
	if n := d.Stats().Keys; n != 31 {
		t.Errorf("%d keys after a restart, want 31", n)
	}
	d.Put(&Batch{DropKeysBefore: 5000})
	want(10, false)
	if n := d.Stats().Keys; n != 0 {
		t.Errorf("%d keys, want 0", n)
	}
}

func TestNamedValues(t *testing.T) {
	d := newDesk(t)
	d.Put(&Batch{Meta: map[string][]byte{"life": []byte("abc"), "empty": {}}})
	d.Crash()
	d.Open()
	if v, ok, err := d.Meta("life"); err != nil || !ok || string(v) != "abc" {
		t.Errorf("life = %q %v %v", v, ok, err)
	}
	if v, ok, err := d.Meta("empty"); err != nil || !ok || len(v) != 0 {
		t.Errorf("empty = %q %v %v", v, ok, err)
	}
	d.Put(&Batch{Meta: map[string][]byte{"life": nil}})
	if _, ok, _ := d.Meta("life"); ok {
		t.Error("a deleted value is still there")
	}
}

func TestADirectoryHasOneUser(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 1)
	if _, _, err := Open(d.cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("a second Open: %v", err)
	}
	if _, err := Check(d.cfg.Dir); !errors.Is(err, ErrInUse) {
		t.Errorf("Check: %v", err)
	}
	if err := Show(d.cfg.Dir, t.Output()); !errors.Is(err, ErrInUse) {
		t.Errorf("Show: %v", err)
	}
	d.Shut()
	if err := d.Commit(&Batch{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Commit after Close: %v", err)
	}
	if _, err := d.Retain(d.clock.Now()); !errors.Is(err, ErrClosed) {
		t.Errorf("Retain after Close: %v", err)
	}
	if err := d.Read("a", 0, 1, 0, 0, func(*Record) bool { return true }); !errors.Is(err, ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if _, _, err := d.Head("a"); !errors.Is(err, ErrClosed) {
		t.Errorf("Head after Close: %v", err)
	}
	d.Check()
}

func TestFaultyBatchesAreRefusedWhole(t *testing.T) {
	d := newDesk(t)
	good := d.record("a", 1, 0)
	bad := func(change func(*Record)) *Batch {
		r := good
		change(&r)
		return &Batch{Records: []Record{good, r}}
	}
	for name, c := range map[string]struct {
		batch *Batch
		want  error
	}{
		"empty key":    {bad(func(r *Record) { r.Key = "" }), ErrBadKey},
		"zero byte":    {bad(func(r *Record) { r.Key = "a\x00b" }), ErrBadKey},
		"long key":     {bad(func(r *Record) { r.Key = strings.Repeat("k", 513) }), ErrTooLarge},
		"seq 0":        {bad(func(r *Record) { r.Seq = 0 }), ErrBadKey},
		"seq 2^53":     {bad(func(r *Record) { r.Seq = 1 << 53 }), ErrBadKey},
		"class":        {bad(func(r *Record) { r.Class = Classes }), ErrBadKey},
		"long origin":  {bad(func(r *Record) { r.Origin = make([]byte, 49) }), ErrTooLarge},
		"long epoch":   {&Batch{Heads: []Head{{Key: "a", Epoch: strings.Repeat("e", 65)}}}, ErrTooLarge},
		"empty id":     {&Batch{Keys: []Key{{}}}, ErrBadKey},
		"long id":      {&Batch{Keys: []Key{{ID: make([]byte, 4097)}}}, ErrTooLarge},
		"our own name": {&Batch{Meta: map[string][]byte{".clean": {}}}, ErrBadKey},
	} {
		if err := d.Commit(c.batch); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	d.WantNone("a", 0, 10)
	if _, _, err := Open(Config{SegmentBytes: -1}); err == nil || strings.Count(err.Error(), "segment:") != 3 {
		t.Errorf("a faulty Config must be told all its faults: %v", err)
	}
}

func TestClassOf(t *testing.T) {
	for age, want := range map[time.Duration]Class{
		time.Second: 0, 10 * time.Minute: 0, 10*time.Minute + 1: 1, time.Hour: 1, 2 * time.Hour: 2, 24 * time.Hour: 2, 25 * time.Hour: 3, 720 * time.Hour: 3,
	} {
		if got := ClassOf(age); got != want {
			t.Errorf("ClassOf(%v) = %d, want %d", age, got, want)
		}
	}
}
