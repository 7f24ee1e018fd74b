package redisbroker

import (
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// TestPartition: the network between one node and Redis loses everything, in both
// directions or in one, while another node publishes. Nobody is told by a closed
// connection. Afterwards the node has everything, in order.
//
// Two addresses of the loopback stand for two ways to one Redis.
func TestPartition(t *testing.T) {
	t.Parallel()
	network := redistest.NewNetwork(t)
	if network == nil {
		return
	}
	s := redistest.Start(t, "--bind", "127.0.0.1", "127.0.0.2")
	cut, other := testConfig(s), testConfig(s)
	cut.URL = fmt.Sprintf("redis://127.0.0.2:%d", s.Port)
	a, b := join(t, cut), join(t, other)
	a.subscribe(news)
	sent := 0
	const to, from = "ip daddr 127.0.0.2", "ip saddr 127.0.0.2"
	for _, lost := range [][]string{{to}, {from}, {to, from}} {
		for _, match := range lost {
			network.Drop(match)
		}
		for range 50 {
			sent++
			b.must(news, start(sent))
		}
		wait(t, "the silence is seen", func() bool { return !a.Up() })
		for range 50 {
			sent++
			b.must(news, start(sent))
		}
		network.Heal()
		wait(t, fmt.Sprint("everything after ", lost), func() bool { return len(a.received(news)) == sent })
		if got := a.texts(news); !slices.Equal(got, starts(1, sent)) {
			t.Errorf("after %s: %q", lost, got)
		}
	}
}
