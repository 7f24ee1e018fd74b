package router

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// labelledApps is how many applications have a label of their own; the rest share
// "other", so that a scrape stays small.
const labelledApps = 100

// shardStats counts what happens on one loop. Only the loop writes, so an addition
// never waits for another processor.
type shardStats struct {
	apps          [labelledApps + 1]appStats
	subscriptions [channelTypes]atomic.Int64
	subscribes    [channelTypes][subscribeResults]atomic.Uint64
	failures      failures
	batches       atomic.Uint64
	batched       atomic.Uint64 // events in them
	replays       [replayResults]atomic.Uint64
	replayed      atomic.Uint64 // events
	fellBack      atomic.Uint64 // slow subscribers that became cursors
	latency       histogram
}

// appStats is the part that is told apart by application.
type appStats struct {
	received      [recvKinds]atomic.Uint64
	sent          [sentKinds]atomic.Uint64
	receivedBytes atomic.Uint64
	sentBytes     atomic.Uint64
}

// failures counts refusals.
type failures struct {
	auth    [authReasons]atomic.Uint64
	limited [limitScopes]atomic.Uint64
}

// routerStats counts what happens on any goroutine.
type routerStats struct {
	recipients histogram
}

// statsIndex is an application's index among the labelled ones.
func statsIndex(app *App) int { return min(app.index, labelledApps) }

func (s *shardStats) app(a *App) *appStats { return &s.apps[statsIndex(a)] }

// sent accounts for an event that a walk wrote to n members.
func (s *shardStats) sent(d *delivery, n int) {
	if n == 0 {
		return
	}
	a := s.app(d.app)
	a.sent[d.kind].Add(uint64(n))
	a.sentBytes.Add(uint64(n) * uint64(d.payload))
}

// countReply accounts for a message of n bytes to one connection.
func (s *Shard) countReply(x *session, n int) {
	a := &s.stats.apps[labelledApps] // refused at the entrance: of no application
	if x.flags&flagServed != 0 {
		a = s.stats.app(s.appOf(x))
	}
	a.sent[sentReply].Add(1)
	a.sentBytes.Add(uint64(n))
}

// histogram counts observations in fixed buckets.
type histogram struct {
	bounds []float64 // upper bounds, ascending; immutable
	scale  float64   // what one unit of an observation is in the metric's unit

	counts []atomic.Uint64 // by bucket; one more for +Inf
	sum    atomic.Uint64   // in units of observations
}

func newHistogram(scale float64, bounds ...float64) histogram {
	return histogram{bounds: bounds, scale: scale, counts: make([]atomic.Uint64, len(bounds)+1)}
}

func (h *histogram) observe(v int64) {
	i, at := 0, float64(v)*h.scale
	for i < len(h.bounds) && at > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(uint64(max(v, 0)))
}

// newLatency is in seconds, observed in nanoseconds.
func newLatency() histogram {
	return newHistogram(1e-9, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
}

// newRecipients counts connections.
func newRecipients() histogram {
	return newHistogram(1, 0, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
}

// Collector returns the package's metrics, to be registered once. A scrape sums the
// loops' counters and takes no lock.
func (r *Router) Collector() prometheus.Collector { return &collector{r: r} }

// collector is the prometheus.Collector of a Router.
type collector struct{ r *Router }

var (
	descReceived      = desc("messages_received_total", "Messages from clients.", "app", "kind")
	descSent          = desc("messages_sent_total", "Messages to clients, after fan-out.", "app", "kind")
	descReceivedBytes = desc("received_bytes_total", "Payload bytes of messages from clients.", "app")
	descSentBytes     = desc("sent_bytes_total", "Payload bytes of messages to clients, before compression.", "app")
	descPublished     = desc("published_total", "Events published, one for each channel of a request.", "app", "source")
	descRecipients    = desc("fanout_recipients", "Subscribers of the channel at a publish.")
	descLatency       = desc("fanout_latency_seconds", "Time from a publish to the end of its last walk.", "path")
	descSubscriptions = desc("subscriptions", "Live subscriptions.", "type")
	descChannels      = desc("channels", "Occupied channels.", "type")
	descSubscribe     = desc("subscribe_total", "Subscribe messages handled.", "type", "result")
	descAuth          = desc("auth_failures_total", "Connections, subscriptions and sign-ins refused for want of a right.", "reason")
	descLimited       = desc("rate_limited_total", "Times that a limit of rate or number was reached.", "scope")
	descBatches       = desc("fanout_batches_total", "Walks over the members of a channel.")
	descReplays       = desc("replay_requests_total", "Recoveries and rewinds that subscribers asked for.", "result")
	descReplayed      = desc("replay_messages_total", "Events that were sent again out of the log.")
	descFellBack      = desc("slow_consumers_caught_up_total", "Subscribers that were too slow and went on from the log.")
	descBatched       = desc("fanout_batched_events_total", "Events that these walks delivered; divided by the walks, the mean batch.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("holdfast_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descReceived, descSent, descReceivedBytes, descSentBytes, descPublished, descRecipients, descLatency,
		descSubscriptions, descChannels, descSubscribe, descAuth, descLimited, descBatches, descBatched,
		descReplays, descReplayed, descFellBack,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	c.collectApps(emit)
	for t := range channelTypes {
		emit(descSubscriptions, prometheus.GaugeValue, c.sumSigned(func(s *shardStats) int64 { return s.subscriptions[t].Load() }), typeNames[t])
		emit(descChannels, prometheus.GaugeValue, c.channels(t), typeNames[t])
		for res := range subscribeResults {
			emit(descSubscribe, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.subscribes[t][res].Load() }), typeNames[t], resultNames[res])
		}
	}
	for reason := range authReasons {
		emit(descAuth, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.failures.auth[reason].Load() }), authNames[reason])
	}
	for scope := range limitScopes {
		emit(descLimited, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.failures.limited[scope].Load() }), scopeNames[scope])
	}
	emit(descBatches, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.batches.Load() }))
	emit(descBatched, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.batched.Load() }))
	for res := range replayResults {
		emit(descReplays, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.replays[res].Load() }), replayNames[res])
	}
	emit(descReplayed, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.replayed.Load() }))
	emit(descFellBack, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.fellBack.Load() }))
	ch <- constHistogram(descRecipients, []*histogram{&c.r.stats.recipients})
	latencies := make([]*histogram, len(c.r.shards))
	for i, s := range c.r.shards {
		latencies[i] = &s.stats.latency
	}
	ch <- constHistogram(descLatency, latencies, "local")
}

// collectApps emits what is told apart by application.
func (c *collector) collectApps(emit func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
	names, published := c.appRows()
	for i, name := range names {
		for k := range recvKinds {
			emit(descReceived, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.apps[i].received[k].Load() }), name, recvNames[k])
		}
		for k := range sentKinds {
			emit(descSent, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.apps[i].sent[k].Load() }), name, sentNames[k])
		}
		for src := range publishSources {
			emit(descPublished, prometheus.CounterValue, float64(published[i][src]), name, sourceNames[src])
		}
		emit(descReceivedBytes, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.apps[i].receivedBytes.Load() }), name)
		emit(descSentBytes, prometheus.CounterValue, c.sum(func(s *shardStats) uint64 { return s.apps[i].sentBytes.Load() }), name)
	}
}

// appRows names the rows of shardStats.apps in use; the last one is "other".
func (c *collector) appRows() (map[int]string, map[int]*[publishSources]uint64) {
	names := map[int]string{labelledApps: "other"}
	published := map[int]*[publishSources]uint64{labelledApps: {}}
	for _, app := range c.r.allApps() {
		i := statsIndex(app)
		if published[i] == nil {
			names[i], published[i] = app.ID(), new([publishSources]uint64)
		}
		for src := range app.published {
			published[i][src] += app.published[src].Load()
		}
	}
	return names, published
}

func (c *collector) sum(get func(*shardStats) uint64) float64 {
	total := uint64(0)
	for _, s := range c.r.shards {
		total += get(&s.stats)
	}
	return float64(total)
}

func (c *collector) sumSigned(get func(*shardStats) int64) float64 {
	total := int64(0)
	for _, s := range c.r.shards {
		total += get(&s.stats)
	}
	return float64(total)
}

func (c *collector) channels(t channelType) float64 {
	total := int64(0)
	for _, app := range c.r.allApps() {
		for i := range app.dir.shards {
			total += app.dir.shards[i].live[t].Load()
		}
	}
	return float64(total)
}

// constHistogram adds histograms of the same bounds up.
func constHistogram(d *prometheus.Desc, hs []*histogram, labels ...string) prometheus.Metric {
	bounds, buckets := hs[0].bounds, map[float64]uint64{}
	count, sum := uint64(0), 0.0
	for i := range hs[0].counts {
		for _, h := range hs {
			count += h.counts[i].Load()
		}
		if i < len(bounds) {
			buckets[bounds[i]] = count
		}
	}
	for _, h := range hs {
		sum += float64(h.sum.Load()) * h.scale
	}
	return prometheus.MustNewConstHistogram(d, count, sum, buckets, labels...)
}
