package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBars(t *testing.T) {
	for _, tt := range []struct {
		row             string
		holdfast, ratio float64
		want            bool
	}{
		{"memory", 256, 50, true},
		{"memory", 256.4, 50, false},
		{"channel", 320, 0, true},
		{"channel", 321, 0, false},
		{"handshake", 30, 1.35, true},
		{"handshake", 30, 1.351, false},
		{"fanout1", 1, 0.93, true},
		{"fanout1", 1, 0.929, false},
		{"fanout32", 1, 13.5, true},
		{"fanout32", 1, 13.4, false},
		{"latency", 1, 1.1, true},
		{"latency", 1, 1.11, false},
		{"history", 1.10, 0, true},
		{"history", 1.101, 0, false},
		{"idle", -3, 0, true},
		{"idle", idleNoise + 0.1, 0, false},
		{"durable", 1, 0, true},
		{"log-append", 100_000, 0, true},
		{"log-append", 99_999, 0, false},
		{"log-cold", 100, 0, true},
		{"log-hot", 10.1, 0, false},
	} {
		w := (&report{}).row(tt.row)
		if got := w.bar.reached(tt.holdfast, tt.ratio); got != tt.want {
			t.Errorf("%s: %v, ratio %v: reached = %v (bar %v)", tt.row, tt.holdfast, tt.ratio, got, w.bar)
		}
	}
}

func testReport(t *testing.T, rows ...string) *report {
	t.Helper()
	return newReport(plan{common: common{root: t.TempDir()}, Runs: 3, MemoryRuns: 3, Rows: rows}, host{CPUs: 2, CPU: "X", Load: []float64{0.1, 0, 0}},
		cpus{1, 0}, []target{{name: "floor"}, {name: "holdfast"}})
}

func TestReportTakesMediansAndJudges(t *testing.T) {
	r := testReport(t, "memory", "handshake")
	for _, v := range []float64{20, 24, 100} {
		r.add("handshake", "floor", sample{Value: v})
	}
	for _, v := range []float64{36, 30, 32} {
		r.add("handshake", "holdfast", sample{Value: v})
	}
	r.add("memory", "holdfast", sample{Value: 300})
	r.finish(noise{})
	var out strings.Builder
	r.print(&out)
	for _, want := range []string{"24.00", "32.00", "1.333", "300", "FAIL", "pass"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if r.Pass || !r.Rows[1].Pass || r.Rows[0].Pass || !r.Trusted {
		t.Errorf("pass %v (memory %v, handshake %v), trusted %v", r.Pass, r.Rows[0].Pass, r.Rows[1].Pass, r.Trusted)
	}
}

// A run that failed has no figure: its row fails, whatever the other runs said, and the reason is printed.
func TestReportOfAFailedRun(t *testing.T) {
	r := testReport(t, "latency")
	r.add("latency", "floor", sample{Value: 60})
	r.add("latency", "holdfast", sample{Value: 60})
	r.fail("latency", "holdfast", errors.New("3 sockets lost\noutput of holdfast: …"))
	r.finish(noise{})
	var out strings.Builder
	r.print(&out)
	if r.Pass || !strings.Contains(out.String(), "latency, holdfast: 3 sockets lost\n") {
		t.Errorf("pass %v\n%s", r.Pass, out.String())
	}
}

// A row without a bar is given and not judged; it fails when its run failed. A row that one run had no figure for says why.
func TestReportOfRowsWithoutABar(t *testing.T) {
	r := testReport(t, "durable", "log-append", "log-bolt")
	r.add("durable", "holdfast", sample{Value: 5000})
	r.fail("log-append", "holdfast", errNoBenchmark)
	r.finish(noise{})
	var out strings.Builder
	r.print(&out)
	if !r.Rows[0].Pass || r.Rows[1].Pass || !r.Rows[2].Pass || r.Pass {
		t.Errorf("durable %v, log-append %v, log-bolt %v, all %v", r.Rows[0].Pass, r.Rows[1].Pass, r.Rows[2].Pass, r.Pass)
	}
	if !strings.Contains(out.String(), "5,000") || !strings.Contains(out.String(), errNoBenchmark.Error()) {
		t.Errorf("printed:\n%s", out.String())
	}
}

func TestReportDoubts(t *testing.T) {
	r := testReport(t, "memory")
	r.finish(noise{Others: maxOthers + 1})
	if r.Trusted {
		t.Error("trusted although other processes used the machine")
	}
	busy := newReport(plan{}, host{Load: []float64{maxLoad + 0.1, 0, 0}}, cpus{}, nil)
	if busy.finish(noise{}); busy.Trusted {
		t.Error("trusted although the machine was busy at the start")
	}
}

func TestReportFileNamesNeverCollide(t *testing.T) {
	r := testReport(t, "memory")
	r.add("memory", "holdfast", sample{Value: 200})
	r.Date = "2026-02-03T04:05:06Z"
	r.finish(noise{})
	dir := filepath.Join(t.TempDir(), "results")
	for _, want := range []string{"bench-2026-02-03.json", "bench-2026-02-03-2.json"} {
		path, err := r.write(dir)
		if err != nil || filepath.Base(path) != want {
			t.Fatalf("written to %s, %v; want %s", path, err, want)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var back report
		if err := json.Unmarshal(b, &back); err != nil || !back.Pass || back.Rows[0].Servers["holdfast"].Median != 200 {
			t.Fatalf("read back: %v, %s", err, b)
		}
	}
}

func TestFormatGroupsThousands(t *testing.T) {
	for _, tt := range []struct {
		digits int
		v      float64
		want   string
	}{
		{0, 5, "5"}, {0, 172600, "172,600"}, {0, 1721000, "1,721,000"}, {2, 19.456, "19.46"}, {0, -1234, "-1,234"}, {0, -123, "-123"},
	} {
		if got := (row{digits: tt.digits}).format(tt.v); got != tt.want {
			t.Errorf("format(%v) = %q, want %q", tt.v, got, tt.want)
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	h := newHistogram()
	if h.quantile(0.99) != 0 {
		t.Fatal("an empty histogram has a quantile")
	}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * 100 * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		if got := h.quantile(q); got < want || got > want+histogramStep {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
	h.add(time.Hour)
	if h.quantile(1) != time.Duration(histogramSteps)*histogramStep || h.max != time.Hour {
		t.Errorf("beyond the range: %v, max %v", h.quantile(1), h.max)
	}
}
