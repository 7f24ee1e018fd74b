package oracle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// The network between one node and Redis loses everything, in one direction or in both,
// again and again. Nothing tells anybody of it, and nobody loses anything: who listens on
// that node gets it late, and who publishes there goes elsewhere.
//
// Three addresses of the loopback stand for the nodes' ways to one Redis.
func TestClusterPartition(t *testing.T) {
	t.Parallel()
	network := redistest.NewNetwork(t)
	if network == nil {
		return
	}
	ways := []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}
	s := redistest.Start(t, append([]string{"--bind"}, ways...)...)
	var urls []string
	for _, way := range ways {
		urls = append(urls, fmt.Sprintf("redis://%s:%d", way, s.Port))
	}
	w := newCluster(t, urls...)
	began := time.Now()
	restless := w.crowd(true)
	faults := map[string]int{}
	for n := range sized(1, 3, 60) {
		restless.Leave()
		way := ways[1+n%2] // the test's own questions to Redis go over the first
		to, from := fmt.Sprintf("ip daddr %s tcp dport %d", way, s.Port), fmt.Sprintf("ip saddr %s tcp sport %d", way, s.Port)
		switch n % 3 {
		case 0:
			faults["to redis"]++
			network.Drop(to)
		case 1:
			faults["from redis"]++
			network.Drop(from)
		default:
			faults["both ways"]++
			network.Drop(to)
			network.Drop(from)
		}
		w.Await("the node sees it", func() bool {
			return strings.Contains(w.Edges[1+n%2].Metrics(), `holdfast_broker_connections{state="down"} 1`)
		})
		w.pause(sized(time.Second, time.Second, 20*time.Second))
		network.Heal()
		w.served()
		restless.Return()
		if changed := w.SameEpochs(); len(changed) > 0 {
			t.Errorf("epochs changed: %v", changed)
		}
	}
	w.settled(t, "cluster-partition", began, Policy{Gaps: away, LateOpens: true}, faults)
}
