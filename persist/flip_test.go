package persist

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/persist/journal"
)

// Any bit of any file may flip. The log opens, serves on, and nobody is told that
// nothing was missed when something was.
func TestBitFlips(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("HOLDFAST_SEED"); s != "" {
		fmt.Sscan(s, &seed)
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	b := newBench(t, func(c *Config) { c.Logger = nil })
	m := newModel(t)
	durable := standard
	durable.Durable = true
	for i := range 400 {
		a := Append{Key: fmt.Sprintf("ch-%d", i%10), Rule: standard, Cache: time.Duration(i%2) * time.Minute}
		if i%10 < 5 {
			a.Rule = durable
		}
		m.publish(b, a, fmt.Sprintf("%d%s", i, strings.Repeat(".", rng.IntN(300))))
		if i == 150 || i == 250 {
			b.checkpoint()
		}
	}
	good := b.snapshot()
	b.close()
	var files []string
	err := filepath.WalkDir(good, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, good))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range sized(100, 1000) {
		dir := quickDir(t)
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		name := files[rng.IntN(len(files))]
		content, err := os.ReadFile(dir + name)
		if err != nil {
			t.Fatal(err)
		}
		at := rng.IntN(len(content))
		if strings.HasSuffix(name, ".db") && i%4 == 0 {
			at = rng.IntN(2)*os.Getpagesize() + rng.IntN(80) // bbolt's meta pages: what is newest
		}
		content[at] ^= 1 << rng.IntN(8)
		if err := os.WriteFile(dir+name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		flipped := &bench{t: t, dir: dir, clock: b.clock, cfg: b.cfg}
		flipped.cfg.Dir, flipped.cfg.FS = dir, journal.OS()
		flipped.open()
		what := fmt.Sprintf("HOLDFAST_SEED=%d, flip %d: %s at %d", seed, i, name, at)
		m.judge(flipped, what, true)
		if r := flipped.publish("ch-1", "after"); r.Err != nil || !r.Logged {
			t.Fatalf("%s: it does not serve on: %+v", what, r)
		}
		flipped.log.Close()
		os.RemoveAll(dir)
	}
}
