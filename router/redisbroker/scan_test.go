package redisbroker

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// yard is a node with many channels, and a member in each, that Redis knows nothing of: on
// two lanes, through which nothing is answered.
type yard struct {
	*node
	keys   []string
	lanes  [2]*lane
	routes [2][]string // all slots but one on the first lane, or on the second
}

// newYard is never told to begin: its rounds would come between those that are looked at.
func newYard(t testing.TB, channels int) *yard {
	t.Helper()
	s := redistest.Start(t)
	b, err := Open(t.Context(), testConfig(s), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	y := &yard{node: &node{Broker: b, t: t, rule: router.Rule{Events: 1000, Age: 5 * time.Minute, Bytes: 4 << 20, Replay: true}}}
	b.receiver = y.node
	b.address.Topology = redisurl.Cluster
	gone := client(t, s)
	gone.Close()
	hosts := [2]string{"a:1", "b:1"}
	for i, host := range hosts {
		y.lanes[i] = &lane{
			b: b, host: host, via: gone, up: true, turn: b.turnLocked(), fell: make(chan struct{}),
			wake: make(chan struct{}, 1), readWake: make(chan struct{}, 1), gone: make(chan struct{}),
		}
		b.lanes[host] = y.lanes[i]
		y.routes[i] = make([]string, slotCount)
		for slot := range y.routes[i] {
			y.routes[i][slot] = host
		}
		y.routes[i][0] = hosts[1-i]
	}
	b.slots = y.routes[0]
	for i := range channels {
		key := fmt.Sprintf("app-id\x1fprivate-App.Models.User.%07d", i)
		y.keys = append(y.keys, key)
		b.getLocked(key, b.keys.of(key)).occupied = true
		b.claims[key] = map[string]*claim{"1": {key: key, member: user("1"), let: true, conns: 1, entered: b.lease.name, tried: map[string]bool{}}}
	}
	return y
}

// all does something for every channel, under mu.
func (y *yard) all(do func(f *follow, c *claim)) {
	y.Broker.mu.Lock()
	defer y.Broker.mu.Unlock()
	for _, f := range y.follows {
		do(f, y.claims[f.key]["1"])
	}
}

func (y *yard) live() {
	y.all(func(f *follow, _ *claim) {
		f.known = true
		f.becomeLocked(stateLive)
	})
}

// scans are all that the broker looks through all of its channels for.
func (y *yard) scans() []yardScan {
	first := y.lanes[0]
	return []yardScan{
		{"compare", y.live, y.compare},
		{"subscribe", nil, func() {
			first.begin(first.turn)
			first.askAgain(first.turn)
		}},
		{"move", y.live, func() {
			y.reroute(y.routes[1], nil)
			y.reroute(y.routes[0], nil)
		}},
		{"reload", nil, func() { _ = y.Reload(y.conf.Keys) }},
		{"say", nil, func() { y.sayAll() }},
		{"part", func() {
			y.parting = queue[*claim]{}
			y.all(func(_ *follow, c *claim) {
				c.conns, c.parts = 0, false
				y.partLocked(c)
			})
		}, func() { y.part(time.Now().Add(-time.Minute)) }},
		{"sweep", func() {
			y.all(func(f *follow, _ *claim) {
				f.occupied, f.touched = false, time.Since(y.began)
				y.watchLocked(f)
			})
		}, func() { y.sweep(time.Now()) }},
		{"give-up", nil, func() { y.sweep(time.Now().Add(time.Minute)) }},
	}
}

type yardScan struct {
	name   string
	before func()
	scan   func()
}

// TestScansLetGo: while the broker looks through all channels, a loop that asks for a head
// has its answer again and again. With one processor the loop runs when the scan lets it.
func TestScansLetGo(t *testing.T) {
	const channels, least = 50_000, 50_000 / scanMost / 2
	y := newYard(t, channels)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	told, done := 0, make(chan struct{})
	defer close(done)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			y.Head(y.keys[i%channels])
			y.node.mu.Lock()
			told++
			y.node.mu.Unlock()
			runtime.Gosched()
		}
	}()
	heads := func() int {
		y.node.mu.Lock()
		defer y.node.mu.Unlock()
		return told
	}
	for _, c := range y.scans() {
		if c.before != nil {
			c.before()
		}
		before := heads()
		c.scan()
		if n := heads() - before; n < least {
			t.Errorf("%s: a loop was told %d heads while %d channels were looked at, want %d at least", c.name, n, channels, least)
		}
	}
}

// BenchmarkScans is how long a Head and a Follow take while the broker looks through a
// million channels: the slowest, and one in a thousand.
func BenchmarkScans(b *testing.B) {
	y := newYard(b, 1_000_000)
	first := y.lanes[0]
	scans := append([]yardScan{
		{"nothing", nil, func() { time.Sleep(100 * time.Millisecond) }},
		{"sweep-occupied", nil, func() { y.sweep(time.Now()) }},
		{"fall", y.live, first.down},
		{"route", nil, func() { y.reroute(y.routes[0], nil) }},
	}, y.scans()...)
	for _, c := range scans {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				b.StopTimer()
				if c.before != nil {
					c.before()
				}
				runtime.GC()
				began, over, end := make(chan struct{}), make(chan struct{}), make(chan struct{})
				go func() {
					defer close(end)
					for i := 0; ; i++ {
						select {
						case <-over:
							return
						default:
						}
						at := time.Now()
						y.Head(y.keys[i%len(y.keys)])
						y.Follow(y.keys[len(y.keys)-1])
						took = append(took, time.Since(at))
						if i == 20 {
							close(began)
						}
						time.Sleep(20 * time.Microsecond) // a loop does other things as well
					}
				}()
				<-began
				b.StartTimer()
				c.scan()
				b.StopTimer()
				close(over)
				<-end
				b.StartTimer()
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)*999/1000].Seconds()*1000, "p99.9-ms")
			b.ReportMetric(took[len(took)-1].Seconds()*1000, "worst-ms")
		})
	}
}
