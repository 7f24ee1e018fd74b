package oracle

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// newCluster starts three servers on one broker; urls are those of the servers, the last
// of them also of all behind it.
func newCluster(t *testing.T, urls ...string) *World {
	t.Helper()
	nodes := make([]hftest.Options, 3)
	for i := range nodes {
		nodes[i] = hftest.Options{Config: Keep, Flags: []string{"--redis", urls[min(i, len(urls)-1)], "--loops", "1", "--set", "redis.lease=3s"}}
	}
	return NewCluster(t, 300, nodes...)
}

// crowd has clients of all doors come to a cluster, and publishers. The one that is
// returned goes and comes back as the test wants. keyed: half of the channels are
// published to with idempotency keys, on another node with each attempt.
func (w *World) crowd(keyed bool) *Client {
	channels := []string{"news-1", "news-2", "private-news-3", "news-4"}
	var clients []*Client
	for i := range 6 {
		clients = append(clients, w.Listen(Listener{Name: fmt.Sprint("client ", i), Channels: channels}))
	}
	restless := w.Listen(Listener{Name: "restless", Channels: channels})
	w.Listen(Listener{Name: "stream", Door: EventStream, Channels: channels[:2]})
	w.Listen(Listener{Name: "poll", Door: Poll, Channels: channels[:2]})
	for i, channel := range channels {
		w.Publish(Source{Channel: channel, Keyed: keyed && i%2 == 0, Patience: 3 * time.Minute, Pause: 4 * time.Millisecond, Batch: 4, Except: clients[:i%2]})
	}
	return restless
}

// served waits until every node takes events again, whichever of Redis' servers they are
// for.
func (w *World) served() {
	w.t.Helper()
	var batch []map[string]string
	for i := range 10 {
		batch = append(batch, map[string]string{"name": "n", "channel": fmt.Sprint("nobody-hears-", i), "data": ""})
	}
	for i, e := range w.Edges {
		w.Await(fmt.Sprintf("node %d takes events", i), func() bool {
			r, err := e.Ask(w.http, http.MethodPost, "/batch_events", nil, map[string]any{"batch": batch})
			return err == nil && r.Status == http.StatusOK
		})
	}
}

// settled is what every fault of a cluster ends with.
func (w *World) settled(t *testing.T, name string, began time.Time, p Policy, faults map[string]int) {
	t.Helper()
	w.served()
	v := w.Settle(p)
	if (v.Recoveries == 0 || v.Delivered == 0) && !raceEnabled {
		t.Errorf("%d delivered, %d recoveries: nothing was proved", v.Delivered, v.Recoveries)
	}
	figures := w.Figures(v)
	figures["faults"], figures["nodes"] = faults, len(w.Edges)
	Report(t, name, began, w.Seed, figures)
}

// Nodes that are killed, stopped in every sense, and started again cost nobody anything:
// what they served goes on elsewhere, in the same epochs, without a gap.
func TestClusterNodes(t *testing.T) {
	t.Parallel()
	w := newCluster(t, redistest.Start(t).URL())
	began := time.Now()
	restless := w.crowd(true)
	faults := map[string]int{}
	for range sized(2, 6, 300) {
		restless.Leave()
		e := w.Edges[w.Rand.IntN(len(w.Edges))]
		switch kind := [...]string{"killed", "ended", "stood still"}[w.Rand.IntN(3)]; kind {
		case "killed":
			faults[kind]++
			e.Kill()
			w.pause(300 * time.Millisecond)
			e.Run()
		case "ended":
			faults[kind]++
			if code := e.Stop(); code != 0 {
				t.Errorf("a node that was asked to end ended with %d", code)
			}
			w.pause(100 * time.Millisecond)
			e.Run()
		default:
			faults[kind]++
			e.Signal(syscall.SIGSTOP)
			w.pause(sized(time.Second, time.Second, 15*time.Second))
			e.Signal(syscall.SIGCONT)
		}
		restless.Return()
		w.pause(200 * time.Millisecond)
		if changed := w.SameEpochs(); len(changed) > 0 {
			t.Errorf("epochs changed: %v", changed)
		}
	}
	w.settled(t, "cluster-nodes", began, Policy{LateOpens: true}, faults)
}

// pause lets a fault last, or its absence.
func (w *World) pause(most time.Duration) { time.Sleep(rand.N(most)) }

// away are the reasons with which continuity may end while the broker is away. Who
// subscribes then gets no position, and has none to ask with if it goes before that comes.
var away = []string{"epoch", "unavailable", "no position"}

// Redis is killed and comes back with its data, stands still, and cuts its connections.
// Continuity may end, and is never said to hold when it does not; who stayed connected
// misses nothing.
func TestClusterRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newCluster(t, s.URL())
	began := time.Now()
	restless := w.crowd(true)
	faults := map[string]int{}
	still := sized(nil, nil, []time.Duration{5 * time.Second, 30 * time.Second, time.Minute, time.Minute, 30 * time.Second})
	for n := range sized(3, 8, 200) {
		restless.Leave()
		switch kind := [...]string{"killed", "stood still", "cut off events", "cut off publishers"}[n%4]; kind {
		case "killed":
			faults[kind]++
			s.Kill()
			w.pause(700 * time.Millisecond)
			s.Run()
		case "stood still":
			faults[kind]++
			s.Signal(syscall.SIGSTOP)
			if len(still) > 0 {
				faults["stood still for "+still[0].String()]++
				time.Sleep(still[0])
				still = still[1:]
			} else {
				w.pause(4 * time.Second)
			}
			s.Signal(syscall.SIGCONT)
		case "cut off events":
			faults[kind]++
			s.Do("CLIENT", "KILL", "TYPE", "pubsub")
		case "cut off publishers":
			faults[kind]++
			s.Do("CLIENT", "KILL", "TYPE", "normal")
		}
		restless.Return()
		w.pause(500 * time.Millisecond)
		w.served()
		w.SameEpochs() // which have another one is counted
	}
	w.settled(t, "cluster-redis", began, Policy{Gaps: away, Turns: true, MayLose: true, LateOpens: true}, faults)
}

// forgets is what a broker excuses that has lost what it acknowledged: who was connected
// is told that the epoch changed.
var forgets = Policy{Gaps: away, Turns: true, MayLose: true, TurnsExcuse: true, LateOpens: true}

// Redis comes back empty.
func TestClusterRedisForgets(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := newCluster(t, s.URL())
	began := time.Now()
	restless := w.crowd(false)
	faults := map[string]int{}
	for range sized(1, 2, 50) {
		restless.Leave()
		w.pause(300 * time.Millisecond)
		faults["emptied"]++
		s.Kill()
		s.Forget()
		s.Run()
		restless.Return()
		w.served()
		w.SameEpochs()
	}
	w.settled(t, "cluster-redis-empty", began, forgets, faults)
}

// A replica that lacks events which were answered becomes the master, again and again,
// while events are published: their numbers are given a second time.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	w := newCluster(t, s.URL())
	began := time.Now()
	restless := w.crowd(false)
	faults := map[string]int{}
	for range sized(1, 1, 20) {
		s.Replica.Do("REPLICAOF", "127.0.0.1", "1") // it follows nobody any more
		behind := w.Ledger.Last("news-1") + 20
		w.Await("events that the replica lacks", func() bool { return w.Ledger.Last("news-1") > behind })
		restless.Leave()
		s.Master.Kill()
		faults["failed over"]++
		restless.Return()
		w.served()
		w.SameEpochs()
		s.Swap(t)
	}
	w.settled(t, "cluster-failover", began, forgets, faults)
}

// One of the masters of a Redis Cluster dies, and its replica takes its place.
func TestClusterShards(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3)
	w := newCluster(t, c.URL())
	began := time.Now()
	restless := w.crowd(false)
	faults := map[string]int{}
	for range sized(1, 1, 20) {
		restless.Leave()
		masters := c.Masters()
		dead := masters[w.Rand.IntN(len(masters))]
		dead.Kill()
		faults["killed"]++
		w.pause(500 * time.Millisecond)
		restless.Return()
		w.served()
		w.SameEpochs()
		dead.Run()
		c.Settle(t)
	}
	w.settled(t, "cluster-shards", began, forgets, faults)
}
