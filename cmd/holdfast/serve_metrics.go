package main

import (
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/tuning/statm"
)

// runtimeMetrics are what /metrics shows of the Go runtime beside the base set of
// client_golang (goroutines, threads, version, stops of the last 256 collections) and
// its default of GOGC, GOMEMLIMIT and GOMAXPROCS. Each answers a question of capacity.
//
// All are read through runtime/metrics, and the base set from counts that the runtime
// keeps: nothing here stops the world, as runtime.ReadMemStats would. The three
// histograms are 13 lines each, since client_golang folds the runtime's 162 buckets
// into decades.
var runtimeMetrics = []string{
	// Both move at the end of each collection, by the runtime's own estimate, and are
	// comparable with each other only.
	"/cpu/classes/gc/total:cpu-seconds",
	"/cpu/classes/total:cpu-seconds",
	"/gc/cycles/automatic:gc-cycles",
	"/gc/cycles/forced:gc-cycles",
	"/gc/heap/allocs:bytes",
	"/gc/heap/goal:bytes",
	"/gc/heap/live:bytes",
	"/gc/limiter/last-enabled:gc-cycle",
	"/memory/classes/heap/objects:bytes",
	"/memory/classes/heap/released:bytes",
	"/memory/classes/total:bytes", // less the released: what GOMEMLIMIT bounds
	"/sched/latencies:seconds",
	"/sched/pauses/total/gc:seconds",
	"/sched/pauses/total/other:seconds",
}

// processCollectors report on the Go runtime and the process, whatever is served.
// started is when the process began to start. They may be collected from any
// goroutine.
func processCollectors(started time.Time) []prometheus.Collector {
	return []prometheus.Collector{
		collectors.NewGoCollector(
			collectors.WithGoCollectorMemStatsMetricsDisabled(), // the same figures under older names
			collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: anyOf(runtimeMetrics)}),
		),
		newProcessCollector(processSources{ReadFile: os.ReadFile, Usage: ownUsage, Started: started}),
	}
}

// anyOf matches each of the names in full and nothing else.
func anyOf(names []string) *regexp.Regexp {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return regexp.MustCompile("^(?:" + strings.Join(quoted, "|") + ")$")
}

// processSources is where the process collector reads.
type processSources struct {
	// ReadFile reads /proc files, os.ReadFile in a server.
	ReadFile func(path string) ([]byte, error)
	// Usage is getrusage of this process.
	Usage func() (unix.Rusage, error)
	// Started is when the process began to start.
	Started time.Time
}

func ownUsage() (u unix.Rusage, err error) {
	err = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return u, err
}

// processCollector has the usual names of process metrics. It stands in for the one of
// client_golang, which counts descriptors by reading all their names on kernels before
// 6.2 (holdfast_fds does not, and has the count), finds no start time where /proc/stat
// is hidden, and shows the traffic of the whole network namespace as the process's.
//
// It keeps no state between scrapes and takes no lock.
type processCollector struct {
	// Immutable after newProcessCollector.
	sources processSources

	cpu, resident, virtual, started *prometheus.Desc
}

func newProcessCollector(s processSources) *processCollector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &processCollector{
		sources:  s,
		cpu:      desc("process_cpu_seconds_total", "CPU time of this process, user and system."),
		resident: desc("process_resident_memory_bytes", "Memory of this process that is in RAM; the kernel's memory for its sockets is not in it."),
		virtual:  desc("process_virtual_memory_bytes", "Address space of this process."),
		started:  desc("process_start_time_seconds", "Unix time at which this process began to start."),
	}
}

// Describe implements prometheus.Collector.
func (c *processCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.cpu, c.resident, c.virtual, c.started} {
		out <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read is left out, never 0.
func (c *processCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(c.started, float64(c.sources.Started.UnixMilli())/1000)
	if u, err := c.sources.Usage(); err == nil {
		seconds := time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
		out <- prometheus.MustNewConstMetric(c.cpu, prometheus.CounterValue, seconds)
	}
	text, err := c.sources.ReadFile(statm.Path)
	if err != nil {
		return
	}
	if m, err := statm.Parse(text); err == nil {
		gauge(c.virtual, float64(m.Virtual))
		gauge(c.resident, float64(m.Resident))
	}
}
