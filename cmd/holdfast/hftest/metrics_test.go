package hftest

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// docs/operations.md lists what a running server has, no more and no less.
func TestMetricsAreTheDocumentedOnes(t *testing.T) {
	edge := Start(t, Options{})
	// Some metrics have no sample before the first of what they count.
	c := edge.Dial()
	c.Subscribe("news")
	edge.Publish("news", "x", "{}")
	c.WantEvent("x")
	c.Close()
	if r := edge.Request(http.MethodGet, "/up", ""); r.Status != http.StatusOK {
		t.Fatal(r.Body)
	}
	// No file may grow any more: an error of the log.
	if err := unix.Prlimit(edge.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
	durable := map[string]any{"name": "x", "data": "{}", "channel": "news", "durable": true}
	if r := edge.Call(http.MethodPost, "/events", nil, durable); r.Status != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", r.Status, r.Body)
	}

	var served []string
	for line := range strings.Lines(edge.Metrics()) {
		if name, ok := strings.CutPrefix(line, "# TYPE holdfast_"); ok {
			served = append(served, strings.Fields(name)[0])
		}
	}
	doc, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(doc), "| metric `holdfast_…` |")
	if !ok {
		t.Fatal("docs/operations.md has no table of metrics")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var documented []string
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			documented = append(documented, m[1])
		}
	}
	for _, name := range served {
		if !slices.Contains(documented, name) {
			t.Errorf("holdfast_%s is served and not documented", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(served, name) {
			t.Errorf("holdfast_%s is documented and not served", name)
		}
	}
}
