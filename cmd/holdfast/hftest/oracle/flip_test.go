package oracle

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// Whatever bit of the log's files is another one after a stop: the server starts,
// serves, gives out nothing that was not published, and leaves nothing out silently.
func TestFlippedBits(t *testing.T) {
	w := NewWorld(t, hftest.Options{Config: busyDisk}, 300)
	began := time.Now()
	channels := []string{"plain-1", "plain-2", "durable-1"}
	w.Listen(Listener{Name: "steady", Channels: channels})
	away := w.Listen(Listener{Name: "often away", Channels: channels})
	for _, channel := range channels {
		w.Publish(Source{Channel: channel, Durable: channel[0] == 'd', Pause: 4 * time.Millisecond, Batch: 4})
	}
	kinds, ready := map[string]int{}, []int64{}
	for n := range sized(4, 50, 1000) {
		switch n % 5 {
		case 0:
			away.Leave()
		case 4:
			away.Return() // with positions from before four damages
		}
		time.Sleep(time.Duration(20+w.Rand.IntN(80)) * time.Millisecond)
		if n%3 == 0 {
			w.Edge.Stop()
		} else {
			w.Edge.Kill()
		}
		what := damage(t, w.Rand, logDir(w.Edge))
		w.Note(what)
		kinds[strings.Fields(what)[0]]++
		start := time.Now()
		if err := w.Edge.TryRun(); err != nil {
			t.Fatalf("seed %d: damage %d, %s: %v", w.Seed, n, what, err)
		}
		ready = append(ready, time.Since(start).Milliseconds())
	}
	away.Return()
	v := w.Settle(Policy{Gaps: []string{"unavailable", "epoch", "expired"}, Turns: true, MayLose: true})
	corrupt, err := filepath.Glob(filepath.Join(logDir(w.Edge), "*", "*.corrupt-*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ready)
	figures := w.Figures(v)
	figures["damages"], figures["set_aside"] = kinds, len(corrupt)
	figures["up_ms_median"], figures["up_ms_max"] = ready[len(ready)/2], ready[len(ready)-1]
	Report(t, "flips", began, w.Seed, figures)
}

// damage changes one bit of one file of the log; now and then it is a page that is
// all zero, or the end of a file that is missing. It returns the kind of file and
// what was done.
func damage(t *testing.T, r *rand.Rand, dir string) string {
	t.Helper()
	kinds := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(path, ".corrupt-") {
			kind, _, _ := strings.Cut(d.Name(), "-")
			kinds[kind] = append(kinds[kind], path)
		}
		return err
	})
	if err != nil || len(kinds) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	names := slices.Sorted(maps.Keys(kinds))
	kind := names[r.IntN(len(names))]
	path := kinds[kind][r.IntN(len(kinds[kind]))]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		return kind + " is empty"
	}
	at := r.IntN(len(b))
	if r.IntN(5) > 0 {
		// Most of a segment is room for later: mostly a place that is in use.
		for try := 0; try < 10_000 && b[at] == 0; try++ {
			at = r.IntN(len(b))
		}
	}
	did := fmt.Sprintf("bit at %d of %d", at, len(b))
	// A journal's newest part that ends early looks like a write that the kill
	// interrupted, which nobody was told of. No server can tell the two apart.
	switch what := r.IntN(10); {
	case what == 0:
		page := b[at/4096*4096 : min(len(b), at/4096*4096+4096)]
		clear(page)
		did = fmt.Sprintf("page at %d of %d zero", at/4096*4096, len(b))
	case what == 1 && kind != "journal":
		did = fmt.Sprintf("cut at %d of %d", at, len(b))
		b = b[:at]
	default:
		b[at] ^= 1 << r.IntN(8)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return kind + " " + filepath.Base(path) + ": " + did
}
