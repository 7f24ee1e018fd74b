package redisbroker

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// stats counts. Any goroutine.
type stats struct {
	received, filled, gaps, behind, holes, refused, failed, dropped, lost, silent, forgotten, reaped atomic.Uint64

	publishSeconds prometheus.Histogram
}

func newStats() stats {
	return stats{publishSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "holdfast_broker_publish_seconds", Help: "Time until Redis answered a publish.",
		Buckets: []float64{0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5},
	})}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("holdfast_broker_"+name, help, labels, nil)
}

var (
	descReceived = desc("events_received_total", "Events that came from Redis, this node's own included.")
	descFilled   = desc("events_filled_total", "Events that were read from streams because they did not come.")
	descGaps     = desc("gaps_total", "Times that a channel was read back.", "found")
	descHoles    = desc("holes_total", "Times that events between two others could not be had any more. Not zero is a loss: Redis kept too little.")
	descRefused  = desc("refused_total", "What came from Redis and was not made by a node of this cluster.")
	descFailed   = desc("publish_failures_total", "Events that were answered 503.")
	descDropped  = desc("client_events_dropped_total", "Events of clients that were not relayed.")
	descLost     = desc("connections_lost_total", "Connections on which events come that ended.", "reason")
	descUp       = desc("connections", "Connections on which events come.", "state")
	descLeases   = desc("leases_ended_total", "Leases that ended: this node's own, or another's whose members it removed.", "whose")
	descFollowed = desc("channels_followed", "Channels whose events come to this node.")
)

// Collector returns the package's metrics, to be registered once.
func (b *Broker) Collector() prometheus.Collector { return collector{b} }

type collector struct{ b *Broker }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descReceived, descFilled, descGaps, descHoles, descRefused, descFailed, descDropped, descLost, descUp, descLeases, descFollowed,
	} {
		ch <- d
	}
	c.b.stats.publishSeconds.Describe(ch)
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	s := &c.b.stats
	count := func(d *prometheus.Desc, n *atomic.Uint64, labels ...string) {
		emit(d, prometheus.CounterValue, float64(n.Load()), labels...)
	}
	count(descReceived, &s.received)
	count(descFilled, &s.filled)
	count(descGaps, &s.gaps, "gap")
	count(descGaps, &s.behind, "comparison")
	count(descHoles, &s.holes)
	count(descRefused, &s.refused)
	count(descFailed, &s.failed)
	count(descDropped, &s.dropped)
	silent := s.silent.Load()
	emit(descLost, prometheus.CounterValue, float64(silent), "silent")
	emit(descLost, prometheus.CounterValue, float64(s.lost.Load()-min(silent, s.lost.Load())), "closed")
	count(descLeases, &s.forgotten, "own")
	count(descLeases, &s.reaped, "other")
	up, down, followed := c.b.counts()
	emit(descUp, prometheus.GaugeValue, float64(up), "up")
	emit(descUp, prometheus.GaugeValue, float64(down), "down")
	emit(descFollowed, prometheus.GaugeValue, float64(followed))
	s.publishSeconds.Collect(ch)
}

// counts are lanes that stand, those that do not, and channels that are followed.
func (b *Broker) counts() (up, down, followed int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lanes {
		if l.up {
			up++
		}
	}
	return up, len(b.lanes) - up, len(b.follows)
}

// Up tells whether events come from every server of Redis.
func (b *Broker) Up() bool {
	up, down, _ := b.counts()
	return up > 0 && down == 0
}
