package persist

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// prometheusText gathers the log's metrics and returns their names.
func prometheusText(t testing.TB, l *Log) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(NewCollector(l)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	return strings.Join(names, " ")
}

func TestMetricsAreConsistent(t *testing.T) {
	b := newBench(t)
	b.start(Append{Key: "a", Rule: standard, Durable: true, Cache: time.Minute}, "x")()
	b.checkpoint()
	b.log.stats.errors.count("write", nil)
	got := prometheusText(t, b.log)
	for _, name := range []string{
		"holdfast_store_commit_duration_seconds", "holdfast_store_batch_messages", "holdfast_store_file_bytes",
		"holdfast_store_errors_total", "holdfast_store_behind", "holdfast_store_heads",
	} {
		if !strings.Contains(got, name) {
			t.Errorf("%s is missing in %s", name, got)
		}
	}
}
