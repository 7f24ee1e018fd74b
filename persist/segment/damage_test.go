package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whatever a disk does to the files, the store opens, never tells anything that was
// not written, sets aside what is damaged, and goes on.
func TestDamagedFiles(t *testing.T) {
	for name, end := range map[string]func(*desk){"closed": (*desk).Shut, "killed": (*desk).Crash} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			for i := range uint64(12) {
				var b Batch
				for c := range 30 {
					key := fmt.Sprint("ch", c)
					for seq := 40*i + 1; seq <= 40*i+40; seq++ {
						b.Records = append(b.Records, d.record(key, seq, Class(c%2)))
					}
					b.Heads = append(b.Heads, Head{Key: key, Epoch: "epoch000", Seq: 40*i + 40, Last: payloadOf(key, 40*i+40)})
				}
				b.Keys = []Key{{ID: []byte(fmt.Sprint("id", i)), TimeMS: int64(i), Value: []byte(fmt.Sprint("value", i))}}
				d.Put(&b)
				d.clock.Advance(30 * time.Second)
			}
			end(d)
			files := map[string][]byte{}
			for _, n := range d.Names() {
				files[n] = used(t, filepath.Join(d.cfg.Dir, n))
			}
			seed := rand.Uint64()
			rng := rand.New(rand.NewPCG(seed, 1))
			aside := 0
			for i := range sized(50, 500) {
				dir := filepath.Join(t.TempDir(), "x")
				what := spoil(t, dir, files, rng)
				n, fault := survives(t, dir, d.cfg)
				if fault != "" {
					t.Fatalf("case %d (seed %d), %s: %s", i, seed, what, fault)
				}
				aside += n
				os.RemoveAll(dir)
			}
			if aside == 0 {
				t.Error("no damage was ever found")
			}
			t.Logf("%d files were set aside", aside)
		})
	}
}

// spoil writes the files into dir with one of them damaged.
func spoil(t *testing.T, dir string, files map[string][]byte, rng *rand.Rand) (what string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	victim := rng.IntN(len(files))
	for name := range files { // a random one is well served by a random order
		if victim--; victim < 0 {
			what = name
			break
		}
	}
	for name, content := range files {
		if name == what {
			var how string
			content, how = damage(bytes.Clone(content), rng)
			defer func() { what += ": " + how }()
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return what
}

func damage(b []byte, rng *rand.Rand) ([]byte, string) {
	pages := len(b) / imagePage
	at := rng.IntN(pages) * imagePage
	switch rng.IntN(8) {
	case 0:
		n := rng.IntN(len(b))
		return b[:n], fmt.Sprintf("cut to %d bytes", n)
	case 1:
		clear(b[at : at+imagePage])
		return b, fmt.Sprintf("page %d zeroed", at/imagePage)
	case 2:
		from := rng.IntN(pages) * imagePage
		copy(b[at:at+imagePage], b[from:from+imagePage])
		return b, fmt.Sprintf("page %d overwritten by page %d", at/imagePage, from/imagePage)
	case 3:
		for i := range sector {
			b[at+i] = byte(rng.Uint32())
		}
		return b, fmt.Sprintf("first sector of page %d is noise", at/imagePage)
	case 4, 5:
		// The headers and element tables at the start of a page lead bbolt.
		bit := rng.IntN(128 * 8)
		b[at+bit/8] ^= 1 << (bit % 8)
		return b, fmt.Sprintf("bit %d of page %d flipped", bit, at/imagePage)
	}
	bit := rng.IntN(len(b) * 8)
	b[bit/8] ^= 1 << (bit % 8)
	return b, fmt.Sprintf("bit %d of page %d flipped", bit%(imagePage*8), bit/8/imagePage)
}

// survives uses every part of the store and returns how many files were set aside,
// and what was wrong.
func survives(t *testing.T, dir string, cfg Config) (aside int, fault string) {
	later := 0
	cfg.Dir, cfg.Damaged = dir, func(Damage) { later++ }
	if _, err := Check(dir); err != nil {
		return 0, fmt.Sprintf("check: %v", err)
	}
	_ = Show(dir, io.Discard)
	_ = Show(dir, io.Discard, "ch1", "ch2")
	s, found, err := Open(cfg)
	if err != nil {
		return 0, fmt.Sprintf("open: %v", err)
	}
	defer s.Close()
	for c := range 30 {
		key := fmt.Sprint("ch", c)
		last := uint64(0)
		err := s.Read(key, 0, 480, 0, 0, func(r *Record) bool {
			if r.Seq <= last || string(r.Payload) != string(payloadOf(key, r.Seq)) || r.Total != r.Seq*10 {
				fault = fmt.Sprintf("%s: seq %d after %d: %q", key, r.Seq, last, r.Payload)
			}
			last = r.Seq
			return fault == ""
		})
		if fault != "" || err != nil && !errors.Is(err, ErrDamaged) {
			return 0, fmt.Sprintf("read %s: %s %v", key, fault, err)
		}
		h, ok, err := s.Head(key)
		if err != nil && !errors.Is(err, ErrDamaged) || ok && (h.Seq != 480 || string(h.Last) != string(payloadOf(key, 480))) {
			return 0, fmt.Sprintf("head of %s: %+v %v %v", key, h, ok, err)
		}
		if _, err := s.Block(key, 100, 480); err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrDamaged) {
			return 0, fmt.Sprintf("block of %s: %v", key, err)
		}
	}
	for i := range 12 {
		k, ok, err := s.Lookup([]byte(fmt.Sprint("id", i)))
		if err != nil && !errors.Is(err, ErrDamaged) || ok && string(k.Value) != fmt.Sprint("value", i) {
			return 0, fmt.Sprintf("key %d: %+v %v", i, k, err)
		}
	}
	fresh := Batch{DropKeysBefore: 100}
	for seq := uint64(1); seq <= 20; seq++ {
		fresh.Records = append(fresh.Records, Record{Key: "fresh", Class: Class(seq % 2), Seq: seq, TimeMS: cfg.Now().UnixMilli(), Payload: payloadOf("fresh", seq)})
	}
	fresh.Heads = []Head{{Key: "fresh", Seq: 20}}
	if err := s.Commit(&fresh); err != nil {
		// The first commit may meet the damage; the second must not.
		if err := s.Commit(&fresh); err != nil {
			return 0, fmt.Sprintf("commit: %v", err)
		}
	}
	n := uint64(0)
	if err := s.Read("fresh", 0, 20, 0, 0, func(r *Record) bool { n++; return r.Seq == n }); err != nil || n != 20 {
		return 0, fmt.Sprintf("%d fresh events, %v", n, err)
	}
	if _, err := s.Retain(cfg.Now().Add(24 * time.Hour)); err != nil {
		return 0, fmt.Sprintf("retain: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err.Error()
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), corruptInfix) {
			aside++
		}
	}
	if aside != len(found)+later {
		return 0, fmt.Sprintf("%d files were set aside, %d reported at Open, %d later", aside, len(found), later)
	}
	return aside, ""
}

// Without one of its two meta pages a file of bbolt is what it was before its last
// commit, or what it is: nobody can tell. Older heads would give sequence numbers out
// a second time.
func TestHeadsAreNeverOlderThanTheyWere(t *testing.T) {
	for meta := range int64(2) {
		for _, byteOfPage := range []int64{16, 31, 64, 79} { // magic, flags, transaction, checksum
			d := newDesk(t)
			d.Publish("a", 0, 1, 10)
			d.Publish("a", 0, 11, 20)
			d.Crash()
			flip(t, filepath.Join(d.cfg.Dir, HeadsFile), meta*imagePage+byteOfPage)
			if r, err := Check(d.cfg.Dir); err != nil || r.Damaged() != 1 || !errors.Is(r.Files[0].Err, ErrDamaged) {
				t.Errorf("byte %d of meta page %d: the check finds %+v, %v", byteOfPage, meta, r.Files, err)
			}
			damage := d.OpenDamaged()
			if len(damage) != 1 || damage[0].File != HeadsFile || !errors.Is(damage[0].Err, ErrDamaged) {
				t.Errorf("byte %d of meta page %d: reported %v", byteOfPage, meta, damage)
			}
			if h, ok, err := d.Head("a"); ok || err != nil {
				t.Errorf("byte %d of meta page %d: the head is %+v, %v", byteOfPage, meta, h, err)
			}
			d.Want("a", 0, 20, 1, 20)
		}
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The footer of a sealed file is looked for before anything else is checked. What
// leads to it must be sound before bbolt follows it.
func TestTheWayToTheFooterIsWalked(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 500)
	victim := filepath.Join(d.cfg.Dir, d.Segments()[0])
	d.Shut()
	whole := used(t, victim)
	walk := func(holding []byte) (only, all error) {
		t.Helper()
		b := bytes.Clone(whole)
		at := bytes.LastIndex(b, holding)
		if at < 2*imagePage {
			t.Fatalf("%q is at %d", holding, at)
		}
		page := at / imagePage * imagePage
		b[page+pageHeader+4] ^= 0x80 // where the first element's key is
		for _, f := range []struct {
			err *error
			run func(*pageFile) error
		}{
			{&only, func(p *pageFile) error { return p.walkOnly(bucketMeta) }},
			{&all, func(p *pageFile) error { return p.walk(func(_, _, _ []byte) error { return nil }) }},
		} {
			p, err := openPages(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			*f.err = f.run(p)
		}
		return only, all
	}
	if only, all := walk(footerName); only == nil || all == nil {
		t.Errorf("the page of the footer is damaged: %v, %v", only, all)
	}
	if only, all := walk(payloadOf("a", 250)); only != nil || all == nil {
		t.Errorf("a page of records is damaged: %v, %v", only, all)
	}
}

// A file that shrinks under its mapping raises SIGBUS where it is read.
func TestAMemoryFaultIsDamage(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 500)
	d.Publish("b", 1, 1, 500)
	victim := d.Segments()[0]
	if err := os.Truncate(filepath.Join(d.cfg.Dir, victim), 2*imagePage); err != nil {
		t.Fatal(err)
	}
	err := d.Read("a", 0, 500, 0, 0, func(*Record) bool { return true })
	if !errors.Is(err, ErrDamaged) {
		t.Fatalf("read: %v", err)
	}
	if found := d.Found(); len(found) != 1 || found[0].File != victim || !strings.HasPrefix(found[0].SetAside, victim+corruptInfix) {
		t.Errorf("reported: %v", found)
	}
	t.Log("the rest serves on")
	d.WantNone("a", 0, 500)
	d.Want("b", 0, 500, 1, 500)
	d.Publish("a", 0, 501, 600)
	d.Want("a", 500, 600, 501, 600)

	t.Log("heads.db too: it begins anew")
	if err := os.Truncate(filepath.Join(d.cfg.Dir, HeadsFile), 2*imagePage); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Head("a"); !errors.Is(err, ErrDamaged) {
		t.Fatalf("head: %v", err)
	}
	if d.MayHaveHead("a") {
		t.Error("a head that is lost may still be there")
	}
	d.Publish("a", 0, 1, 10)
	d.WantHead("a", 10)
	d.Want("a", 0, 10, 1, 10)
	if found := d.Found(); len(found) != 2 || found[1].File != HeadsFile {
		t.Errorf("reported: %v", found)
	}
	d.Shut()
	if r := d.Check(); len(r.SetAside) != 2 {
		t.Errorf("set aside: %v", r.SetAside)
	}
}

func TestDamageOfAWriterIsSetAside(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 500)
	if err := os.Truncate(filepath.Join(d.cfg.Dir, d.Segments()[0]), 2*imagePage); err != nil {
		t.Fatal(err)
	}
	batch := &Batch{Records: []Record{d.record("a", 501, 0)}}
	if err := d.Commit(batch); !errors.Is(err, ErrDamaged) {
		t.Fatalf("commit into a damaged file: %v", err)
	}
	d.Put(batch)
	d.Want("a", 0, 501, 501, 501)
	if found := d.Found(); len(found) != 1 {
		t.Errorf("reported: %v", found)
	}
	if err := os.Truncate(filepath.Join(d.cfg.Dir, HeadsFile), 2*imagePage); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(&Batch{Heads: []Head{{Key: "a", Seq: 1}}}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("commit into a damaged heads.db: %v", err)
	}
	d.Put(&Batch{Heads: []Head{{Key: "a", Seq: 1}}})
	d.WantHead("a", 1)
}

func TestAMissingHeadsFileIsReported(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 10)
	d.Shut()
	if err := os.Remove(filepath.Join(d.cfg.Dir, HeadsFile)); err != nil {
		t.Fatal(err)
	}
	damage := d.OpenDamaged()
	if len(damage) != 1 || damage[0].File != HeadsFile || !errors.Is(damage[0].Err, ErrDamaged) {
		t.Errorf("reported: %v", damage)
	}
	d.Want("a", 0, 10, 1, 10)
}

func TestLeftoversOfACreationAreRemoved(t *testing.T) {
	d := newDesk(t)
	d.Shut()
	for _, name := range []string{segmentName(0, 7) + newSuffix, HeadsFile + newSuffix} {
		if err := os.WriteFile(filepath.Join(d.cfg.Dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.Open()
	d.Publish("a", 0, 1, 1)
	if names := d.Names(); len(names) != 2 || names[1] != segmentName(0, 1) {
		t.Errorf("files: %v", names)
	}
}
