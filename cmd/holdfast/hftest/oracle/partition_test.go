package oracle

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// inNamespace tells that the test is in a network namespace of its own.
const inNamespace = "HFTEST_NAMESPACE"

// The network between one node and Redis loses everything, in one direction or in both,
// again and again. Nothing tells anybody of it, and nobody loses anything: who listens on
// that node gets it late, and who publishes there goes elsewhere.
//
// The test runs itself again in a network namespace of its own, where it may drop what it
// likes. Three addresses of the loopback stand for the nodes' ways to one Redis.
func TestClusterPartition(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		apart(t)
		return
	}
	shell(t, "ip", "link", "set", "lo", "up")
	shell(t, "nft", "add", "table", "inet", "cut")
	shell(t, "nft", "add chain inet cut in { type filter hook input priority 0 ; }")
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
		to, from := fmt.Sprintf("ip daddr %s tcp dport %d drop", way, s.Port), fmt.Sprintf("ip saddr %s tcp sport %d drop", way, s.Port)
		switch n % 3 {
		case 0:
			faults["to redis"]++
			shell(t, "nft", "add rule inet cut in "+to)
		case 1:
			faults["from redis"]++
			shell(t, "nft", "add rule inet cut in "+from)
		default:
			faults["both ways"]++
			shell(t, "nft", "add rule inet cut in "+to)
			shell(t, "nft", "add rule inet cut in "+from)
		}
		w.Await("the node sees it", func() bool {
			return strings.Contains(w.Edges[1+n%2].Metrics(), `holdfast_broker_connections{state="down"} 1`)
		})
		w.pause(sized(time.Second, time.Second, 20*time.Second))
		shell(t, "nft", "flush", "chain", "inet", "cut", "in")
		w.served()
		restless.Return()
		if changed := w.SameEpochs(); len(changed) > 0 {
			t.Errorf("epochs changed: %v", changed)
		}
	}
	w.settled(t, "cluster-partition", began, Policy{Gaps: away, LateOpens: true}, faults)
}

// apart runs the test in a namespace of its own.
func apart(t *testing.T) {
	t.Helper()
	args := []string{"--net"}
	if os.Geteuid() != 0 {
		args = []string{"--user", "--map-root-user", "--net"}
	}
	cmd := exec.Command("unshare", append(args, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2h")...)
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("in a network namespace (unshare %v): %v", args, err)
	}
}

func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
