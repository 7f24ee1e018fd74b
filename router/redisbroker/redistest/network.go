package redistest

import (
	"os"
	"os/exec"
	"testing"
)

// Network is a network namespace of the test's own, in which it may drop what it likes.
// One goroutine.
type Network struct{ t testing.TB }

// inNamespace tells that the process is in one.
const inNamespace = "HFTEST_NAMESPACE"

// NewNetwork runs the test that calls it again in a namespace. There it returns the
// network; outside, when that run is over, nil, and nothing is left to do.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	n := &Network{t}
	if os.Getenv(inNamespace) != "" {
		n.shell("ip", "link", "set", "lo", "up")
		n.shell("nft", "add", "table", "inet", "cut")
		n.shell("nft", "add chain inet cut in { type filter hook input priority 0 ; }")
		return n
	}
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
	return nil
}

// Drop loses what matches, in the syntax of nft: "ip daddr 127.0.0.2".
func (n *Network) Drop(match string) {
	n.t.Helper()
	n.shell("nft", "add rule inet cut in "+match+" drop")
}

// Heal loses nothing any more.
func (n *Network) Heal() {
	n.t.Helper()
	n.shell("nft", "flush", "chain", "inet", "cut", "in")
}

func (n *Network) shell(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
