package segment

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	sector    = 512
	imagePage = 4096
)

// recorder notes what every transaction of bbolt changed in its file. bbolt writes
// the changed pages, syncs, writes one meta page, syncs: so a power cut leaves any
// part of the first set, or all of it and any part of the meta page.
type recorder struct {
	t       *testing.T
	before  map[string][]byte // by name, as of the last sync
	commits []recorded
	acked   int // batches whose Commit has returned
}

type recorded struct {
	name  string
	files map[string][]byte // all files before the transaction
	pages []write           // first set, ascending
	meta  []write           // the meta page
	size  int               // of the file after it
	acked int               // batches that had returned before it began
}

type write struct {
	at   int
	data []byte
}

func (r *recorder) step(step Step, path string) error {
	if r.t == nil {
		return nil
	}
	name := filepath.Base(path)
	if trimmed, aside := cutSuffix(name, newSuffix); aside {
		name = trimmed // made aside: nothing of it counts before it has its name
	}
	switch step {
	case StepCommit:
		if _, known := r.before[name]; known {
			r.commits = append(r.commits, recorded{name: name, files: maps.Clone(r.before), acked: r.acked})
		}
	case StepCommitted:
		after := used(r.t, path)
		if before, known := r.before[name]; known {
			c := &r.commits[len(r.commits)-1]
			c.pages, c.meta, c.size = changed(before, after)
		}
		r.before[name] = after
	}
	return nil
}

func cutSuffix(s, suffix string) (string, bool) {
	if len(s) > len(suffix) && s[len(s)-len(suffix):] == suffix {
		return s[:len(s)-len(suffix)], true
	}
	return s, false
}

// used reads the pages in use of a file.
func used(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := openPages(f, info.Size())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	b := make([]byte, int(pages.high)*imagePage)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func changed(before, after []byte) (pages, meta []write, size int) {
	for at := 0; at < len(after); at += imagePage {
		data := after[at : at+imagePage]
		if at < len(before) && bytes.Equal(before[at:min(at+imagePage, len(before))], data) {
			continue
		}
		if at < 2*imagePage {
			meta = append(meta, write{at, data})
		} else {
			pages = append(pages, write{at, data})
		}
	}
	return pages, meta, max(len(after), len(before))
}

// image writes the directory as a power cut during the commit may leave it.
func (c *recorded) image(t *testing.T, dir string, rng *rand.Rand) string {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := bytes.Clone(c.files[c.name])
	if rest := c.size - len(file); rest > 0 {
		file = append(file, make([]byte, rest)...)
	}
	put := func(w write, sectors func(i int) bool) {
		for i := range imagePage / sector {
			if sectors(i) {
				copy(file[w.at+i*sector:], w.data[i*sector:(i+1)*sector])
			}
		}
	}
	all := func(int) bool { return true }
	random := func(int) bool { return rng.IntN(2) == 0 }
	kind := [...]string{"none", "prefix", "subset", "torn", "all but meta", "torn meta", "all"}[rng.IntN(7)]
	switch kind {
	case "prefix":
		for _, w := range c.pages[:rng.IntN(len(c.pages)+1)] {
			put(w, all)
		}
	case "subset":
		for _, w := range c.pages {
			if rng.IntN(2) == 0 {
				put(w, all)
			}
		}
	case "torn":
		for _, w := range c.pages {
			put(w, random)
		}
	case "all but meta", "torn meta", "all":
		for _, w := range c.pages {
			put(w, all)
		}
		for _, w := range c.meta {
			if kind == "torn meta" {
				put(w, random)
			} else if kind == "all" {
				put(w, all)
			}
		}
	}
	for name, content := range c.files {
		if name == c.name {
			content = file
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		// bbolt grows a file by more than it uses.
		if err := os.Truncate(filepath.Join(dir, name), int64(len(content)+16*imagePage)); err != nil {
			t.Fatal(err)
		}
	}
	return kind
}

// A power cut during any commit, however much of it reached the disk, damages
// nothing and loses nothing that was acknowledged.
func TestCrashImages(t *testing.T) {
	rec := &recorder{t: t, before: map[string][]byte{}}
	d := newDesk(t, func(c *Config) { c.Hooks.Step = rec.step })
	const channels = 9
	var heads [channels]uint64
	name := func(c int) string { return fmt.Sprintf("app/%d", c) }
	acked := [][channels]uint64{heads} // heads after each batch
	rng := rand.New(rand.NewPCG(3, 3))
	for batch := range 60 {
		var b Batch
		for range 1 + rng.IntN(80) {
			c := rng.IntN(channels)
			heads[c]++
			b.Records = append(b.Records, d.record(name(c), heads[c], Class(rng.IntN(2))))
		}
		for c := range channels {
			if heads[c] > 0 {
				b.Heads = append(b.Heads, Head{Key: name(c), Epoch: "epoch000", Seq: heads[c], Total: heads[c] * 10})
			}
		}
		b.Keys = []Key{{ID: []byte(fmt.Sprint("id", batch)), TimeMS: int64(batch), Value: []byte("v")}}
		b.DropKeysBefore = int64(batch) - 20
		d.Put(&b)
		acked = append(acked, heads)
		rec.acked++
		if batch%20 == 19 {
			d.clock.Advance(10 * time.Minute) // new files
		}
	}
	rec.t = nil
	d.Shut()

	images := sized(300, 10_000)
	seed := rand.Uint64()
	rng = rand.New(rand.NewPCG(seed, 4))
	kinds := map[string]int{}
	root := t.TempDir()
	for i := range images {
		c := &rec.commits[i%len(rec.commits)]
		dir := filepath.Join(root, fmt.Sprint(i))
		kind := c.image(t, dir, rng)
		kinds[kind]++
		if what := lookAt(dir, d.cfg, acked, c.acked, name); what != "" {
			t.Fatalf("image %d (seed %d) of a cut in commit %d of %s, %s: %s", i, seed, i%len(rec.commits), c.name, kind, what)
		}
		os.RemoveAll(dir)
	}
	t.Logf("%d images of %d commits: %v", images, len(rec.commits), kinds)
}

// lookAt opens an image and says what is wrong with it. Everything up to the heads
// of acked[sure] must be there; at most the batch after it may be too.
func lookAt[A ~[9]uint64](dir string, cfg Config, acked []A, sure int, name func(int) string) string {
	cfg.Dir, cfg.Hooks, cfg.Damaged = dir, Hooks{}, nil
	s, damage, err := Open(cfg)
	if err != nil || len(damage) > 0 {
		return fmt.Sprintf("open: %v, %v", damage, err)
	}
	defer s.Close()
	more := acked[min(sure+1, len(acked)-1)]
	for c, floor := range acked[sure] {
		next := uint64(1)
		wrong := ""
		err := s.Read(name(c), 0, MaxSeq, 0, 0, func(r *Record) bool {
			switch {
			case r.Seq > more[c]:
				wrong = fmt.Sprintf("%s: seq %d was never published", name(c), r.Seq)
			case r.Seq <= floor && r.Seq != next:
				wrong = fmt.Sprintf("%s: seq %d, want %d", name(c), r.Seq, next)
			case string(r.Payload) != string(payloadOf(name(c), r.Seq)):
				wrong = fmt.Sprintf("%s: seq %d is %q", name(c), r.Seq, r.Payload)
			}
			next = r.Seq + 1
			return wrong == ""
		})
		if err != nil || wrong != "" {
			return fmt.Sprintf("read: %s %v", wrong, err)
		}
		if next <= floor {
			return fmt.Sprintf("%s ends at %d, acknowledged %d", name(c), next-1, floor)
		}
		h, ok, err := s.Head(name(c))
		if err != nil || floor > 0 && !ok || ok && (h.Seq < floor || h.Seq > more[c]) {
			return fmt.Sprintf("head of %s: %+v %v %v, acknowledged %d", name(c), h, ok, err, floor)
		}
	}
	if sure > 0 {
		if _, ok, err := s.Lookup([]byte(fmt.Sprint("id", sure-1))); err != nil || !ok {
			return fmt.Sprintf("key %d: %v %v", sure-1, ok, err)
		}
	}
	// It goes on.
	seq := more[0] + 1
	if err := s.Commit(&Batch{Records: []Record{{Key: name(0), Seq: seq, Payload: payloadOf(name(0), seq)}}, Heads: []Head{{Key: name(0), Seq: seq}}}); err != nil {
		return fmt.Sprintf("commit: %v", err)
	}
	return ""
}
