package main

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
)

// processMetricLines bounds what the runtime and the process add to a scrape.
const processMetricLines = 150

// scraped is the text that a scrape of these collectors gets.
func scraped(t *testing.T, cs ...prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(cs...)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// typesOf lists "name type" of each family.
func typesOf(text string) (types []string) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			types = append(types, strings.TrimSuffix(rest, "\n"))
		}
	}
	return types
}

// valueOf is a sample without labels; NaN if there is none.
func valueOf(text, name string) float64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if v, err := strconv.ParseFloat(strings.TrimSuffix(rest, "\n"), 64); err == nil {
				return v
			}
		}
	}
	return math.NaN()
}

func TestProcessMetricsAreTheChosenOnes(t *testing.T) {
	text := scraped(t, processCollectors(time.Unix(1700000000, 5e8))...)
	want := []string{
		"go_cpu_classes_gc_total_cpu_seconds_total counter",
		"go_cpu_classes_total_cpu_seconds_total counter",
		"go_gc_cycles_automatic_gc_cycles_total counter",
		"go_gc_cycles_forced_gc_cycles_total counter",
		"go_gc_duration_seconds summary",
		"go_gc_gogc_percent gauge",
		"go_gc_gomemlimit_bytes gauge",
		"go_gc_heap_allocs_bytes_total counter",
		"go_gc_heap_goal_bytes gauge",
		"go_gc_heap_live_bytes gauge",
		"go_gc_limiter_last_enabled_gc_cycle gauge",
		"go_goroutines gauge",
		"go_info gauge",
		"go_memory_classes_heap_objects_bytes gauge",
		"go_memory_classes_heap_released_bytes gauge",
		"go_memory_classes_total_bytes gauge",
		"go_memstats_last_gc_time_seconds gauge",
		"go_sched_gomaxprocs_threads gauge",
		"go_sched_latencies_seconds histogram",
		"go_sched_pauses_total_gc_seconds histogram",
		"go_sched_pauses_total_other_seconds histogram",
		"go_threads gauge",
		"process_cpu_seconds_total counter",
		"process_resident_memory_bytes gauge",
		"process_start_time_seconds gauge",
		"process_virtual_memory_bytes gauge",
	}
	if got := typesOf(text); !slices.Equal(got, want) {
		t.Errorf("families\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if lines := strings.Count(text, "\n"); lines > processMetricLines {
		t.Errorf("%d lines in each scrape, at most %d", lines, processMetricLines)
	}
}

func TestProcessMetricsAreTrue(t *testing.T) {
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
		t.Fatal(err)
	}
	text := scraped(t, processCollectors(time.Unix(1700000000, 5e8))...)
	if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
		t.Fatal(err)
	}
	used := func(u unix.Rusage) float64 { return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9 }
	for _, c := range []struct {
		name        string
		least, most float64
	}{
		{"process_start_time_seconds", 1700000000.5, 1700000000.5},
		{"process_cpu_seconds_total", used(before), used(after)},
		// What is in RAM now is no more than was at most; the kernel counts that in KiB,
		// and each thread's share a little late.
		{"process_resident_memory_bytes", 1 << 20, float64(after.Maxrss)*1024 + 4<<20},
		{"process_virtual_memory_bytes", valueOf(text, "process_resident_memory_bytes"), 1 << 47},
		{"go_goroutines", 2, 10000},
		{"go_gc_heap_goal_bytes", 1 << 20, math.MaxFloat64},
		{"go_sched_pauses_total_other_seconds_count", 0, math.MaxFloat64},
		{`go_sched_pauses_total_gc_seconds_bucket{le="+Inf"}`, 0, math.MaxFloat64},
	} {
		if v := valueOf(text, c.name); !(v >= c.least && v <= c.most) {
			t.Errorf("%s = %v, want %v to %v", c.name, v, c.least, c.most)
		}
	}
}

// Loops must not notice a scrape.
func TestProcessMetricsStopNothing(t *testing.T) {
	stops := func() (n uint64) {
		s := []metrics.Sample{{Name: "/sched/pauses/total/other:seconds"}}
		metrics.Read(s)
		for _, count := range s[0].Value.Float64Histogram().Counts {
			n += count
		}
		return n
	}
	cs := processCollectors(time.Now())
	const scrapes = 50
	before := stops()
	for range scrapes {
		scraped(t, cs...)
	}
	// Another test's goroutines may end in a stop or two of their own.
	if n := stops() - before; n >= scrapes {
		t.Errorf("%d scrapes stopped the world %d times", scrapes, n)
	}
}

func TestProcessMetricsLeaveOutWhatCannotBeRead(t *testing.T) {
	fails := errors.New("hidden")
	statm := func(text string, err error) func(string) ([]byte, error) {
		return func(path string) ([]byte, error) {
			if path != "/proc/self/statm" {
				t.Errorf("reads %s", path)
			}
			return []byte(text), err
		}
	}
	usage := func(err error) func() (unix.Rusage, error) {
		return func() (unix.Rusage, error) {
			return unix.Rusage{Utime: unix.Timeval{Sec: 3, Usec: 250000}, Stime: unix.Timeval{Sec: 1, Usec: 500000}}, err
		}
	}
	const cpu, resident, virtual = "process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes"
	page := float64(os.Getpagesize())
	for name, c := range map[string]struct {
		sources processSources
		want    map[string]float64
	}{
		"all":             {processSources{ReadFile: statm("900 70 5 1 0 60 0\n", nil), Usage: usage(nil)}, map[string]float64{cpu: 4.75, resident: 70 * page, virtual: 900 * page}},
		"no /proc":        {processSources{ReadFile: statm("", fails), Usage: usage(nil)}, map[string]float64{cpu: 4.75}},
		"no usage":        {processSources{ReadFile: statm("900 70 5\n", nil), Usage: usage(fails)}, map[string]float64{resident: 70 * page, virtual: 900 * page}},
		"an empty file":   {processSources{ReadFile: statm("\n", nil), Usage: usage(fails)}, nil},
		"one figure":      {processSources{ReadFile: statm("900\n", nil), Usage: usage(fails)}, nil},
		"not a figure":    {processSources{ReadFile: statm("900 -70 5\n", nil), Usage: usage(fails)}, nil},
		"not the address": {processSources{ReadFile: statm("x 70 5\n", nil), Usage: usage(fails)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := scraped(t, newProcessCollector(c.sources))
			for _, metric := range []string{cpu, resident, virtual} {
				want, ok := c.want[metric]
				got := valueOf(text, metric)
				if ok != !math.IsNaN(got) || ok && got != want {
					t.Errorf("%s = %v, want %v (there: %v)", metric, got, want, ok)
				}
			}
		})
	}
}

// BenchmarkProcessMetrics is what they cost in each scrape: reading and writing.
func BenchmarkProcessMetrics(b *testing.B) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(processCollectors(time.Now())...)
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}
