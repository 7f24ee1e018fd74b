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
// killed and comes back with its data. Every event that was answered must have come to
// every node, once, in its place, and no two nodes may disagree about a place.
func TestChaos(t *testing.T) {
	length := 8 * time.Second
	if os.Getenv("HOLDFAST_SOAK") != "" {
		length = 10 * time.Minute
	}
	s := redistest.Start(t)
	nodes := []*node{join(t, testConfig(s)), join(t, testConfig(s))}
	const channels = 20
	key := func(c int) string { return fmt.Sprint("app\x1fc", c) }
	for _, n := range nodes {
		for c := range channels {
			n.subscribe(key(c))
		}
	}
	d := &ledger{taken: map[place]string{}}
	end := time.Now().Add(length)
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			for k := 0; time.Now().Before(end); k++ {
				d.publish(n, key(r.IntN(channels)), fmt.Sprintf(`{"event":"e","data":"%d-%d"`, i, k))
			}
		})
	}
	r := rand.New(rand.NewPCG(7, 7))
	stops := map[string]int{}
	for time.Now().Before(end) {
		// The pace of the faults, and below how long each lasts; nothing is waited for.
		time.Sleep(time.Duration(100+r.IntN(900)) * time.Millisecond)
		switch r.IntN(5) {
		case 0, 1:
			stops["connections cut"]++
			_ = s.Try("CLIENT", "KILL", "TYPE", "pubsub")
		case 2:
			stops["publishers cut"]++
			_ = s.Try("CLIENT", "KILL", "TYPE", "normal")
		case 3:
			stops["Redis stopped"]++
			s.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
			s.Signal(syscall.SIGCONT)
		case 4:
			stops["Redis killed"]++
			s.Kill()
			time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond)
			s.Run()
		}
	}
	all.Wait()
	for c := range channels {
		wait(t, "the last publish is taken", func() bool { return d.publish(nodes[0], key(c), `{"event":"last"`) })
	}
	for _, n := range nodes {
		for c := range channels {
			wait(t, "the last event comes", func() bool {
				got := n.received(key(c))
				return len(got) > 0 && string(got[len(got)-1].Text) == `{"event":"last"`
			})
		}
	}
	for i, n := range nodes {
		d.check(t, i, n, key, channels)
	}
	t.Logf("%d events taken, %d refused; %v; %d filled from streams", len(d.taken), d.refused, stops, nodes[0].stats.filled.Load()+nodes[1].stats.filled.Load())
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
}

func (d *ledger) publish(n *node, key, text string) bool {
	it := item{text: text}
	if err := n.Append([]router.LogAppend{{Key: key, Rule: n.rule, Item: &it}}); err != nil {
		it.res.Err = err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if it.res.Err != nil {
		d.refused++
		return false
	}
	d.taken[place{key, it.res.Epoch, it.res.Seq}] = text
	return true
}

// check compares what a node handed out with what was answered.
func (d *ledger) check(t *testing.T, i int, n *node, key func(int) string, channels int) {
	t.Helper()
	came := map[place]string{}
	for c := range channels {
		var last router.Received
		for _, e := range n.received(key(c)) {
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
