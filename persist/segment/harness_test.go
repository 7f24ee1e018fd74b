package segment

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// soak tells whether tests run at full size.
var soak = os.Getenv("HOLDFAST_SOAK") == "1"

func sized(ci, full int) int {
	if soak {
		return full
	}
	return max(ci/raceShare, 1)
}

// clock is a time that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_700_000_000_000)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) MS() int64 { return c.Now().UnixMilli() }

// desk is a store with its clock and the verbs of the tests.
type desk struct {
	*Store
	t      testing.TB
	cfg    Config
	clock  *clock
	mu     sync.Mutex
	damage []Damage // found after Open
}

func newDesk(t testing.TB, change ...func(*Config)) *desk {
	t.Helper()
	d := &desk{t: t, clock: newClock()}
	d.cfg = Config{
		Dir: filepath.Join(t.TempDir(), "segments"), SegmentBytes: 1 << 20, CacheBytes: 8 << 20, HeadBytes: 64 << 20,
		Now: d.clock.Now,
		Damaged: func(dmg Damage) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.damage = append(d.damage, dmg)
		},
	}
	for _, f := range change {
		f(&d.cfg)
	}
	d.Open()
	t.Cleanup(func() { d.Close() })
	return d
}

// Open opens the directory, which must be sound.
func (d *desk) Open() {
	d.t.Helper()
	s, damage, err := Open(d.cfg)
	if err != nil {
		d.t.Fatalf("open: %v", err)
	}
	if len(damage) > 0 {
		d.t.Fatalf("open found damage: %v", damage)
	}
	d.Store = s
}

// OpenDamaged opens the directory and returns what was set aside.
func (d *desk) OpenDamaged() []Damage {
	d.t.Helper()
	s, damage, err := Open(d.cfg)
	if err != nil {
		d.t.Fatalf("open: %v", err)
	}
	d.Store = s
	return damage
}

func (d *desk) Shut() {
	d.t.Helper()
	if err := d.Close(); err != nil {
		d.t.Fatalf("close: %v", err)
	}
}

// Crash ends the store as kill -9 would: nothing is sealed, no mark is left.
func (d *desk) Crash() {
	d.t.Helper()
	d.write.Lock()
	defer d.write.Unlock()
	d.closed = true
	d.shut.Store(true)
	if err := d.closeFiles(false); err != nil {
		d.t.Fatalf("crash: %v", err)
	}
	d.cache.close()
}

func (d *desk) Found() []Damage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Damage(nil), d.damage...)
}

func (d *desk) Put(b *Batch) {
	d.t.Helper()
	if err := d.Commit(b); err != nil {
		d.t.Fatalf("commit: %v", err)
	}
}

// record is the one record a test expects at (key, seq): everything follows from both.
func (d *desk) record(key string, seq uint64, class Class) Record {
	r := Record{
		Key: key, Class: class, Seq: seq, TimeMS: d.clock.MS(), Total: seq * 10, Flags: byte(seq % 7),
		Payload: payloadOf(key, seq),
	}
	if seq%3 == 0 {
		r.Origin = []byte(fmt.Sprintf("%d.%d", seq, len(key)))
	}
	return r
}

func payloadOf(key string, seq uint64) []byte {
	return []byte(fmt.Sprintf(`{"event":"e","channel":%q,"data":"%s","seq":%d}`, key, strings.Repeat("x", int(seq%50)), seq))
}

// Publish commits the events from … to of a channel.
func (d *desk) Publish(key string, class Class, from, to uint64) {
	d.t.Helper()
	b := &Batch{Heads: []Head{{Key: key, Epoch: "epoch000", Seq: to, Total: to * 10, TimeMS: d.clock.MS(), Life: 1}}}
	for seq := from; seq <= to; seq++ {
		b.Records = append(b.Records, d.record(key, seq, class))
	}
	d.Put(b)
}

// Want reads (from, to] and expects the events first … last.
func (d *desk) Want(key string, from, to, first, last uint64) {
	d.t.Helper()
	next := first
	err := d.Read(key, from, to, 0, 0, func(r *Record) bool {
		d.t.Helper()
		if r.Key != key || r.Seq != next || string(r.Payload) != string(payloadOf(key, r.Seq)) || r.Total != r.Seq*10 {
			d.t.Fatalf("%q (%d, %d]: got %q seq %d %q, want seq %d", key, from, to, r.Key, r.Seq, r.Payload, next)
		}
		next++
		return true
	})
	if err != nil {
		d.t.Fatalf("read %q (%d, %d]: %v", key, from, to, err)
	}
	if next != last+1 {
		d.t.Fatalf("%q (%d, %d] ended before seq %d, want up to %d", key, from, to, next, last)
	}
}

// WantNone expects no event in (from, to].
func (d *desk) WantNone(key string, from, to uint64) {
	d.t.Helper()
	d.Want(key, from, to, 1, 0)
}

func (d *desk) WantHead(key string, seq uint64) {
	d.t.Helper()
	h, ok, err := d.Head(key)
	if err != nil || !ok || h.Seq != seq {
		d.t.Fatalf("head of %q = %+v %v %v, want seq %d", key, h, ok, err, seq)
	}
	if !d.MayHaveHead(key) {
		d.t.Fatalf("MayHaveHead(%q) denies a head", key)
	}
}

// Names lists the directory.
func (d *desk) Names() []string {
	d.t.Helper()
	entries, err := os.ReadDir(d.cfg.Dir)
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (d *desk) Segments() []string {
	d.t.Helper()
	var segments []string
	for _, n := range d.Names() {
		if _, _, whole, ok := parseSegmentName(n); ok && whole {
			segments = append(segments, n)
		}
	}
	return segments
}

// Check expects the closed directory to be sound.
func (d *desk) Check() Report {
	d.t.Helper()
	r, err := Check(d.cfg.Dir)
	if err != nil {
		d.t.Fatalf("check: %v", err)
	}
	for _, f := range r.Files {
		if f.Err != nil {
			d.t.Fatalf("check: %s: %v", f.Name, f.Err)
		}
	}
	return r
}
