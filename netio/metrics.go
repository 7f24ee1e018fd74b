package netio

import (
	"strconv"
	"sync"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-edge/holdfast/netio/wheel"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("holdfast_"+name, help, labels, nil)
}

// descs are this package's metrics; operations documentation lists them.
var descs = struct {
	connections, connectionsMax, opened, closed, bytes, accept, handshakes,
	utilization, lag, events, wheelEntries, wheelLag, timeouts,
	socketBytes, queueBytes, slow *prometheus.Desc
}{
	connections:    desc("connections", "Sockets held, by state.", "state"),
	connectionsMax: desc("connections_max", "Sockets that admission lets in."),
	opened:         desc("connections_opened_total", "WebSocket connections established.", "listener"),
	closed:         desc("connections_closed_total", "Established connections that ended, by close code and side.", "code", "by"),
	bytes:          desc("connection_bytes", "Mean bytes of our memory a connection, by part.", "part"),
	accept:         desc("accept_total", "Sockets taken off the accept queue, and reasons not to.", "listener", "result"),
	handshakes:     desc("handshakes_total", "Handshakes ended, by result; http = handed to the HTTP server.", "result"),
	utilization:    desc("loop_utilization_ratio", "Share of the time since the last scrape that a loop was busy.", "loop"),
	lag:            desc("loop_lag_seconds", "Time from a loop's wake-up to the end of that turn, over all loops."),
	events:         desc("loop_events_total", "Socket events and commands handled.", "kind"),
	wheelEntries:   desc("heartbeat_wheel_entries", "Deadlines on the loops' timer wheels."),
	wheelLag:       desc("heartbeat_wheel_lag_seconds", "How late the last tick of the latest wheel was."),
	timeouts:       desc("heartbeat_timeouts_total", "Connections closed with 4201, pong not received."),
	socketBytes:    desc("socket_bytes_total", "Bytes read from and written to WebSockets, framing included.", "direction"),
	queueBytes:     desc("outbound_queue_bytes", "Bytes that wait because the kernel refused them."),
	slow:           desc("slow_consumers_total", "Connections closed because their queue was over its bound.", "action", "reason"),
}

// Collector exposes the transport's counters. Safe to scrape at any time.
func (s *Server) Collector() prometheus.Collector { return &collector{srv: s} }

type collector struct {
	srv *Server

	mu       sync.Mutex
	lastBusy []int64
	lastAt   int64
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descs.connections, descs.connectionsMax, descs.opened, descs.closed, descs.bytes, descs.accept, descs.handshakes,
		descs.utilization, descs.lag, descs.events, descs.wheelEntries, descs.wheelLag, descs.timeouts,
		descs.socketBytes, descs.queueBytes, descs.slow,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.srv
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	open := c.connections(gauge)
	gauge(descs.connectionsMax, float64(s.admission.ceiling.Load()))
	for i := range closeCodes {
		c.closes(counter, strconv.Itoa(int(closeCodes[i])), i)
	}
	c.closes(counter, "other", otherCode)
	for _, a := range s.acceptors {
		counter(descs.opened, s.sum(func(l *loopStats) uint64 { return l.opened[a.index].Load() }), a.ln.spec)
		for i := range a.results {
			counter(descs.accept, a.results[i].Load(), a.ln.spec, acceptLabels[i])
		}
	}
	for i, label := range handshakeLabels {
		counter(descs.handshakes, s.sum(func(l *loopStats) uint64 { return l.handshakes[i].Load() }), label)
	}
	c.loops(ch, gauge)
	counter(descs.events, s.sum(func(l *loopStats) uint64 { return l.events.Load() }), "socket")
	counter(descs.events, s.sum(func(l *loopStats) uint64 { return l.commands.Load() }), "command")
	counter(descs.timeouts, s.sum(func(l *loopStats) uint64 { return l.noPong.Load() }))
	counter(descs.socketBytes, s.sum(func(l *loopStats) uint64 { return l.bytesIn.Load() }), "in")
	counter(descs.socketBytes, s.sum(func(l *loopStats) uint64 { return l.bytesOut.Load() }), "out")
	counter(descs.slow, s.sum(func(l *loopStats) uint64 { return l.slow.Load() }), "close", "queue")
	queued := s.total(func(l *loopStats) int64 { return l.queuedNow.Load() })
	gauge(descs.queueBytes, float64(queued))
	c.memory(gauge, open, queued)
}

func (c *collector) connections(gauge func(*prometheus.Desc, float64, ...string)) (open int64) {
	s := c.srv
	state := func(st connState) int64 { return s.total(func(l *loopStats) int64 { return l.states[st].Load() }) }
	open = state(stateOpen)
	gauge(descs.connections, float64(state(stateHandshake)), "accepted")
	gauge(descs.connections, float64(s.door.conversations()), "http")
	gauge(descs.connections, float64(open), "open")
	gauge(descs.connections, float64(state(stateClosing)), "closing")
	return open
}

func (c *collector) closes(counter func(*prometheus.Desc, uint64, ...string), label string, code int) {
	for side, by := range closeSideLabels {
		if n := c.srv.sum(func(l *loopStats) uint64 { return l.closes[code][side].Load() }); n > 0 {
			counter(descs.closed, n, label, by)
		}
	}
}

// loops reports utilisation since the last scrape and the joint lag histogram.
func (c *collector) loops(ch chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string)) {
	s := c.srv
	c.mu.Lock()
	defer c.mu.Unlock()
	now := s.clock.now()
	wall := float64(now - c.lastAt)
	if c.lastBusy == nil {
		c.lastBusy = make([]int64, len(s.loops))
	}
	buckets := make(map[float64]uint64, len(lagBounds))
	var cumulative uint64
	for i, l := range s.loops {
		busy := l.stats.busy.Load()
		gauge(descs.utilization, min(1, float64(busy-c.lastBusy[i])/wall), strconv.Itoa(i))
		c.lastBusy[i] = busy
	}
	c.lastAt = now
	for i := range lagBounds {
		cumulative += s.sum(func(l *loopStats) uint64 { return l.lag[i].Load() })
		buckets[float64(lagBounds[i])/1e9] = cumulative
	}
	count := cumulative + s.sum(func(l *loopStats) uint64 { return l.lag[len(lagBounds)].Load() })
	sum := float64(s.total(func(l *loopStats) int64 { return l.lagSum.Load() })) / 1e9
	ch <- prometheus.MustNewConstHistogram(descs.lag, count, sum, buckets)
	gauge(descs.wheelEntries, float64(s.total(func(l *loopStats) int64 { return l.entries.Load() })))
	var worst uint64
	for _, l := range s.loops {
		worst = max(worst, l.stats.wheelLag.Load())
	}
	gauge(descs.wheelLag, float64(worst)/1e9)
}

// memory reports the mean bytes a connection.
func (c *collector) memory(gauge func(*prometheus.Desc, float64, ...string), open, queued int64) {
	gauge(descs.bytes, float64(unsafe.Sizeof(record{})+unsafe.Sizeof(wheel.Node{})), "slab")
	mean := func(total float64) float64 { return total / float64(max(1, open)) }
	gauge(descs.bytes, mean(float64(queued)), "outq")
	if c.srv.cfg.SessionBytes != nil {
		perConn, membership := c.srv.cfg.SessionBytes()
		gauge(descs.bytes, perConn, "conn")
		gauge(descs.bytes, mean(membership), "sub")
	}
}

func (s *Server) sum(get func(*loopStats) uint64) (n uint64) {
	for _, l := range s.loops {
		n += get(&l.stats)
	}
	return n
}

func (s *Server) total(get func(*loopStats) int64) (n int64) {
	for _, l := range s.loops {
		n += get(&l.stats)
	}
	return n
}
