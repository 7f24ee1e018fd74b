package redisbroker

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
	"github.com/holdfast-edge/holdfast/router/routertest"
)

// TestBrokerConformance: one node, and several on one Redis, keep the router's contract.
func TestBrokerConformance(t *testing.T) {
	t.Parallel()
	for name, nodes := range map[string]int{"one node": 1, "three nodes": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			routertest.Broker(t, func(t *testing.T) *routertest.Cluster {
				s := redistest.Start(t)
				c, brokers := conforming(t, testConfig(s), nodes)
				c.Refusals["Redis is full"] = func() (restore func()) {
					s.Do("CONFIG", "SET", "maxmemory", "1")
					return func() { s.Do("CONFIG", "SET", "maxmemory", "0") }
				}
				c.Renew = func() { restart(t, s, brokers) }
				return c
			})
		})
	}
}

// TestBrokerConformanceOnACluster: channels on three masters.
func TestBrokerConformanceOnACluster(t *testing.T) {
	t.Parallel()
	s := redistest.StartCluster(t, 3)
	var opened atomic.Int64
	routertest.Broker(t, func(t *testing.T) *routertest.Cluster {
		conf := testConfig(s.Servers[0])
		conf.URL, conf.Prefix = s.URL(), fmt.Sprintf("test%d:", opened.Add(1)) // a cluster of nodes of its own
		c, _ := conforming(t, conf, 2)
		return c
	})
}

// conforming opens nodes for the suite.
func conforming(t *testing.T, conf Config, nodes int) (*routertest.Cluster, []*Broker) {
	c := &routertest.Cluster{Now: time.Now, Pass: time.Sleep, Refusals: map[string]func() func(){}}
	conf.PublishTimeout = 10 * time.Second // a busy machine is no fault of the broker's
	var brokers []*Broker
	for i := range nodes {
		b := open(t, conf)
		c.Nodes = append(c.Nodes, routertest.Join(t, fmt.Sprint("node-", i+1), b))
		wait(t, "the connection for events", b.Up)
		brokers = append(brokers, b)
	}
	c.Reload = func() {
		for _, b := range brokers {
			if err := b.Reload(conf.Keys); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Refusals["the broker is closed"] = func() func() { brokers[0].Close(); return nil }
	return c, brokers
}

// restart ends Redis and runs it again, and returns when every connection of every node
// has found out: the client takes any of them.
func restart(t *testing.T, s *redistest.Server, brokers []*Broker) {
	t.Helper()
	s.Kill()
	for _, b := range brokers {
		wait(t, "the loss is seen", func() bool { return !b.Up() })
	}
	s.Run()
	for _, b := range brokers {
		wait(t, "the connection", b.Up)
		wait(t, "fifty publishes in a row are taken", func() bool {
			for range 50 {
				it := item{text: start(1)}
				if err := b.Append([]router.LogAppend{{Key: "app\x1felsewhere", Item: &it}}); err != nil || it.res.Err != nil {
					return false
				}
			}
			return true
		})
	}
}

// open is a broker that has not begun.
func open(t *testing.T, conf Config) *Broker {
	t.Helper()
	b, err := Open(t.Context(), conf, slog.New(slog.NewTextHandler(testWriter{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}
