package redisbroker

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// TestShardDiesDuringResubscription: two nodes publish to many channels and follow them;
// all connections on which events come are cut, and when some of a master's channels are
// live again, and not all, that master is killed. On the channels of the others every event
// that was answered comes to every node, once, in order, in the epoch of before. On those of
// the dead one no place has two contents, the epoch is another, and events go on.
func TestShardDiesDuringResubscription(t *testing.T) {
	t.Parallel()
	channels := 3000
	if os.Getenv("HOLDFAST_SOAK") != "" {
		channels = 50_000
	}
	c := redistest.StartCluster(t, 3)
	conf := testConfig(c.Servers[0])
	conf.URL = c.URL()
	nodes := []*node{join(t, conf), join(t, conf)}
	keys, epochs := make([]string, channels), make([]string, channels)
	for i := range keys {
		keys[i] = fmt.Sprint("app\x1fc", i)
	}
	for _, n := range nodes {
		_ = each(64, keys, func(i int, key string) error {
			epochs[i] = n.subscribe(key).Epoch
			return nil
		})
	}
	masters := c.Masters()
	victim := masters[0]
	var doomed, safe []string
	before := map[string]string{}
	for i, key := range keys {
		before[key] = epochs[i]
		if nodes[0].serverOf(key) == victim.Addr() {
			doomed = append(doomed, key)
		} else {
			safe = append(safe, key)
		}
	}
	d := &ledger{taken: map[place]string{}}
	calm := make(chan struct{})
	var publish sync.WaitGroup
	for i := range 4 {
		publish.Go(func() {
			for k := i; ; k += 4 {
				select {
				case <-calm:
					return
				default:
					d.take(nodes[i%2], keys[k%channels], start(k))
				}
			}
		})
	}

	for {
		for _, m := range masters {
			m.Do("CLIENT", "KILL", "TYPE", "pubsub")
		}
		fell := false
		wait(t, "the nodes subscribe again", func() bool {
			live, all := nodes[0].standing(victim)
			fell = fell || live < all
			return fell && live > 0
		})
		victim.Signal(syscall.SIGSTOP)
		if live, all := nodes[0].standing(victim); live < all {
			t.Logf("the master of %d channels is killed when %d are live again", all, live)
			break
		}
		victim.Signal(syscall.SIGCONT) // too late: all are live
	}
	victim.Kill()
	wait(t, "a publish to a channel of the dead master is taken", func() bool { return d.take(nodes[1], doomed[0], start(0)) })
	close(calm)
	publish.Wait()
	d.last(t, nodes, keys)

	for i, n := range nodes {
		d.check(t, i, n, safe)
		for _, key := range safe {
			for _, e := range n.received(key) {
				if e.Epoch != before[key] {
					t.Fatalf("node %d: %s has another epoch, and its master did not die", i, key)
				}
			}
		}
	}
	contents := map[place]string{}
	for i, n := range nodes {
		for _, key := range doomed {
			got := n.received(key)
			for _, e := range got {
				at := place{e.Key, e.Epoch, e.Seq}
				if other, ok := contents[at]; ok && other != string(e.Text) {
					t.Errorf("node %d: %v is both %s and %s", i, at, other, e.Text)
				}
				contents[at] = string(e.Text)
			}
			if got[len(got)-1].Epoch == before[key] {
				t.Errorf("node %d: %s has the epoch of before the failover", i, key)
			}
			n.texts(key) // fails on a hole inside an epoch
		}
	}
	for at, text := range d.taken {
		if got, ok := contents[at]; ok && got != text {
			t.Errorf("%v is %s, answered was %s", at, got, text)
		}
	}
	t.Logf("%d events taken, %d refused; %d channels on the dead master", len(d.taken), d.refused, len(doomed))
}

// serverOf is the server that has a channel.
func (n *node) serverOf(key string) string {
	name := n.keys.of(key)
	n.Broker.mu.Lock()
	defer n.Broker.mu.Unlock()
	return n.slots[slotOf(name)]
}

// standing is how many of the channels of a server are live, and how many there are.
func (n *node) standing(s *redistest.Server) (live, all int) {
	n.Broker.mu.Lock()
	defer n.Broker.mu.Unlock()
	for _, f := range n.follows {
		if f.lane != nil && f.lane.host == s.Addr() {
			if all++; f.stateLocked() == stateLive {
				live++
			}
		}
	}
	return live, all
}
