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
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			served = append(served, strings.Fields(name)[0])
		}
	}
	doc, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := documentedMetrics(t, string(doc), "| metric `holdfast_…` |", "holdfast_")
	documented = append(documented, documentedMetrics(t, string(doc), "| metric of the runtime and the process |", "")...)
	for _, name := range served {
		if !slices.Contains(documented, name) {
			t.Errorf("%s is served and not documented", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(served, name) {
			t.Errorf("%s is documented and not served", name)
		}
	}
}

// documentedMetrics are the names in the first column of the table with this head,
// each with the prefix that the head says they all have. None may be there twice.
func documentedMetrics(t *testing.T, doc, head, prefix string) (names []string) {
	t.Helper()
	_, table, ok := strings.Cut(doc, head)
	if !ok {
		t.Fatalf("docs/operations.md has no table %s", head)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			name := prefix + m[1]
			if slices.Contains(names, name) {
				t.Errorf("%s is documented twice", name)
			}
			names = append(names, name)
		}
	}
	return names
}
