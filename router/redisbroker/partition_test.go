package redisbroker

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// inNamespace tells that the test is in a network namespace of its own.
const inNamespace = "HFTEST_NAMESPACE"

// TestPartition: the network between one node and Redis loses everything, in both
// directions or in one, while another node publishes. Nobody is told by a closed
// connection. Afterwards the node has everything, in order.
//
// The test runs itself again in a network namespace of its own, where it may drop what it
// likes. Two addresses of the loopback stand for two ways to one Redis.
func TestPartition(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Parallel()
		apart(t)
		return
	}
	shell(t, "ip", "link", "set", "lo", "up")
	shell(t, "nft", "add", "table", "inet", "cut")
	shell(t, "nft", "add chain inet cut in { type filter hook input priority 0 ; }")
	s := redistest.Start(t, "--bind", "127.0.0.1", "127.0.0.2")
	cut, other := testConfig(s), testConfig(s)
	cut.URL = fmt.Sprintf("redis://127.0.0.2:%d", s.Port)
	a, b := join(t, cut), join(t, other)
	a.subscribe(news)
	sent := 0
	for _, kind := range []string{"ip daddr 127.0.0.2 drop", "ip saddr 127.0.0.2 drop", "ip saddr 127.0.0.2 drop; add rule inet cut in ip daddr 127.0.0.2 drop"} {
		shell(t, "nft", "add rule inet cut in "+kind)
		for range 50 {
			sent++
			b.must(news, start(sent))
		}
		wait(t, "the silence is seen", func() bool { return !a.Up() })
		for range 50 {
			sent++
			b.must(news, start(sent))
		}
		shell(t, "nft", "flush", "chain", "inet", "cut", "in")
		wait(t, "everything after "+kind, func() bool { return len(a.received(news)) == sent })
		if got := a.texts(news); !slices.Equal(got, starts(1, sent)) {
			t.Errorf("after %s: %q", kind, got)
		}
	}
}

// apart runs the test in a namespace of its own.
func apart(t *testing.T) {
	t.Helper()
	args := []string{"--net"}
	if os.Geteuid() != 0 {
		args = []string{"--user", "--map-root-user", "--net"}
	}
	cmd := exec.Command("unshare", append(args, os.Args[0], "-test.run=^TestPartition$", "-test.v")...)
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a network namespace (unshare %v): %v\n%s", args, err, out)
	}
}

func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
