package redisbroker

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// TestChaos publishes on two nodes while connections are cut, Redis stands still, and is
// killed and comes back with its data.
func TestChaos(t *testing.T) {
	length := 8 * time.Second
	if os.Getenv("HOLDFAST_SOAK") != "" {
		length = 10 * time.Minute
	}
	s := newStorm(t)
	r := rand.New(rand.NewPCG(7, 7))
	stops := map[string]int{}
	for end := time.Now().Add(length); time.Now().Before(end); {
		// The pace of the faults, and below how long each lasts; nothing is waited for.
		time.Sleep(time.Duration(100+r.IntN(900)) * time.Millisecond)
		switch r.IntN(5) {
		case 0, 1:
			stops["connections cut"]++
			_ = s.redis.Try("CLIENT", "KILL", "TYPE", "pubsub")
		case 2:
			stops["publishers cut"]++
			_ = s.redis.Try("CLIENT", "KILL", "TYPE", "normal")
		case 3:
			stops["Redis stopped"]++
			s.stands(time.Duration(r.IntN(4000)) * time.Millisecond)
		case 4:
			stops["Redis killed"]++
			s.redis.Kill()
			time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond)
			s.redis.Run()
		}
	}
	s.settle()
	t.Log(stops)
}

// TestRedisStandsStill: Redis stops, keeps all connections, and goes on, while two nodes
// publish. Every publish is answered in time, if only with a refusal.
func TestRedisStandsStill(t *testing.T) {
	t.Parallel()
	lengths := []time.Duration{5 * time.Second}
	if os.Getenv("HOLDFAST_SOAK") != "" {
		lengths = append(lengths, 30*time.Second, time.Minute)
	}
	for _, length := range lengths {
		t.Run(length.String(), func(t *testing.T) {
			s := newStorm(t)
			const some = 500
			wait(t, "events are taken", func() bool { return s.count() > some })
			s.stands(length)
			for _, n := range s.nodes {
				if n.Up() {
					t.Errorf("Redis stood still for %s, and the node has not seen it", length)
				}
			}
			before := s.count()
			wait(t, "events are taken again", func() bool { return s.count() > before+some })
			s.settle()
			if most := s.nodes[0].conf.PublishTimeout + time.Second; s.slowest > most || s.refused == 0 {
				t.Errorf("the slowest of all publishes was answered after %s, at most %s are allowed; %d were refused", s.slowest, most, s.refused)
			}
		})
	}
}

// storm is two nodes that publish until it settles. Every event that was answered must
// have come to every node then, once, in its place, and no two nodes may disagree about a
// place.
type storm struct {
	*ledger
	t       *testing.T
	redis   *redistest.Server
	nodes   []*node
	keys    []string
	calm    chan struct{}
	publish sync.WaitGroup
}

func newStorm(t *testing.T) *storm {
	t.Helper()
	s := &storm{t: t, ledger: &ledger{taken: map[place]string{}}, redis: redistest.Start(t), calm: make(chan struct{})}
	s.nodes = []*node{join(t, testConfig(s.redis)), join(t, testConfig(s.redis))}
	for c := range 20 {
		s.keys = append(s.keys, fmt.Sprint("app\x1fc", c))
	}
	for _, n := range s.nodes {
		for _, key := range s.keys {
			n.subscribe(key)
		}
	}
	for i, n := range s.nodes {
		s.publish.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			for k := 0; ; k++ {
				select {
				case <-s.calm:
					return
				default:
				}
				s.take(n, s.keys[r.IntN(len(s.keys))], fmt.Sprintf(`{"event":"e","data":"%d-%d"`, i, k))
			}
		})
	}
	return s
}

// stands stops Redis for so long: that is the fault, and nothing is waited for.
func (s *storm) stands(length time.Duration) {
	s.redis.Signal(syscall.SIGSTOP)
	time.Sleep(length)
	s.redis.Signal(syscall.SIGCONT)
}

// settle ends the publishing and looks at what came of it.
func (s *storm) settle() {
	s.t.Helper()
	close(s.calm)
	s.publish.Wait()
	s.last(s.t, s.nodes, s.keys)
	for i, n := range s.nodes {
		s.check(s.t, i, n, s.keys)
	}
	s.t.Logf("%d events taken, %d refused, the slowest after %s; %d filled from streams", len(s.taken), s.refused, s.slowest,
		s.nodes[0].stats.filled.Load()+s.nodes[1].stats.filled.Load())
}

// place is where an event is.
type place struct {
	key, epoch string
	seq        uint64
}

// ledger is what was answered.
type ledger struct {
	mu      sync.Mutex
	taken   map[place]string
	refused int
	slowest time.Duration
}

// take publishes an event and tells whether it was taken.
func (d *ledger) take(n *node, key, text string) bool {
	it, began := item{text: text}, time.Now()
	if err := n.Append([]router.LogAppend{{Key: key, Rule: n.rule, Item: &it}}); err != nil {
		it.res.Err = err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slowest = max(d.slowest, time.Since(began))
	if it.res.Err != nil {
		d.refused++
		return false
	}
	d.taken[place{key, it.res.Epoch, it.res.Seq}] = text
	return true
}

func (d *ledger) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.taken)
}

// last publishes one more event to each channel, and waits until every node has it.
func (d *ledger) last(t *testing.T, nodes []*node, keys []string) {
	t.Helper()
	const text = `{"event":"last"`
	for _, key := range keys {
		wait(t, "the last publish is taken", func() bool { return d.take(nodes[0], key, text) })
	}
	for _, n := range nodes {
		for _, key := range keys {
			wait(t, "the last event comes", func() bool {
				got := n.received(key)
				return len(got) > 0 && string(got[len(got)-1].Text) == text
			})
		}
	}
}

// check compares what a node handed out of some channels with what was answered.
func (d *ledger) check(t *testing.T, i int, n *node, keys []string) {
	t.Helper()
	came, looked := map[place]string{}, map[string]bool{}
	for _, key := range keys {
		looked[key] = true
		var last router.Received
		for _, e := range n.received(key) {
			at := place{e.Key, e.Epoch, e.Seq}
			if other, twice := came[at]; twice {
				t.Errorf("node %d: %v came twice, as %s and as %s", i, at, other, e.Text)
			}
			came[at] = string(e.Text)
			if e.Lost || e.Epoch == last.Epoch && e.Seq != last.Seq+1 {
				t.Errorf("node %d: %v follows %d (said to have lost some: %v)", i, at, last.Seq, e.Lost)
			}
			last = e
		}
	}
	missing := 0
	for at, text := range d.taken {
		if !looked[at.key] {
			continue
		}
		switch got, ok := came[at]; {
		case !ok:
			missing++
			if missing < 10 {
				t.Errorf("node %d: %v was answered and never came: %s", i, at, text)
			}
		case got != text:
			t.Errorf("node %d: %v is %s, answered was %s", i, at, got, text)
		}
	}
	if missing > 0 {
		t.Errorf("node %d: %d events are missing", i, missing)
	}
}
