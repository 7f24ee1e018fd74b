package main

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestReadBlock(t *testing.T) {
	in := "retry: 2041\n\n" + "data: {\"event\":\"a\"}\n\n" + ":\n\n\n" + "id: k3f9:42,k3f9:7\ndata: {\"x\":1}\n\n" + "id: half"
	want := []block{{retry: "2041"}, {data: `{"event":"a"}`}, {comment: true}, {id: "k3f9:42,k3f9:7", data: `{"x":1}`}}
	r := bufio.NewReader(strings.NewReader(in))
	for i, w := range want {
		if got, err := readBlock(r); err != nil || got != w {
			t.Fatalf("block %d = %+v, %v; want %+v", i, got, err, w)
		}
	}
	if b, err := readBlock(r); !errors.Is(err, io.EOF) {
		t.Errorf("half a block: %+v, %v", b, err)
	}
	if b, err := readBlock(bufio.NewReader(strings.NewReader("event: x\n\n"))); !errors.Is(err, errDoor) {
		t.Errorf("a line that may not be there: %+v, %v", b, err)
	}
}

func TestParsePoll(t *testing.T) {
	a, err := parsePoll([]byte(`{"next":"k3f9:44","channels":[{"channel":"a","recovered":true,"replayed":1,"more":false,"events":[{"event":"x","seq":44}]}]}`))
	if err != nil || a.Next != "k3f9:44" || len(a.Channels[0].Events) != 1 || string(a.Channels[0].Events[0]) != `{"event":"x","seq":44}` {
		t.Errorf("parsed %+v, %v", a, err)
	}
	for _, bad := range []string{"", "{}", `{"next":"k3f9:44","channels":[]}`, `{"channels":[{"channel":"a"}]}`} {
		if a, err := parsePoll([]byte(bad)); !errors.Is(err, errDoor) {
			t.Errorf("%q: %+v, %v", bad, a, err)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	text := "# HELP holdfast_x_total X.\n# TYPE holdfast_x_total counter\nholdfast_x_total{from=\"disk\"} 16\nholdfast_x_total{from=\"a b\"} 1e+06\nholdfast_y 0.5\n\n"
	m, err := parseMetrics(text)
	if err != nil || len(m) != 3 || m[`holdfast_x_total{from="disk"}`] != 16 || m[`holdfast_x_total{from="a b"}`] != 1e6 || m["holdfast_y"] != 0.5 {
		t.Errorf("metrics %v, %v", m, err)
	}
	if n, err := m.since(metrics{"holdfast_y": 0.25}, "holdfast_y"); err != nil || n != 0.25 {
		t.Errorf("since: %v, %v", n, err)
	}
	if _, err := m.since(m, "holdfast_z"); err == nil {
		t.Error("a metric that is not there grew")
	}
	if m, err := parseMetrics("holdfast_x many\n"); err == nil {
		t.Errorf("metrics %v", m)
	}
}

func TestParseGoroutines(t *testing.T) {
	if n, err := parseGoroutines("goroutine profile: total 18\n2 @ 0x48fe4e\n"); err != nil || n != 18 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := parseGoroutines("404 page not found\n"); err == nil {
		t.Errorf("%d goroutines of nothing", n)
	}
}

func TestBenchmarksOfTheLog(t *testing.T) {
	const text = `goos: linux
pkg: example/persist
cpu: AMD EPYC
BenchmarkDurableAppend-2       	  300000	      8123 ns/op	    123106 events/s	    812 unsaved
BenchmarkDurableByShards/1-2   	  300000	      9000 ns/op	    111111 events/s
BenchmarkReplay/cold-2         	   10000	     75012 ns/op
BenchmarkReplay/hot            	 1000000	      1712 ns/op	       0 B/op	       0 allocs/op
BenchmarkReplayCold-2          	   10000	     50000 ns/op
BenchmarkRawBoltBatch-2        	     100	  11000000 ns/op	     46545 events/s
PASS
ok  	example/persist	12.3s
`
	got := readLogRows(parseBenchmarks(text))
	for row, want := range map[string]float64{"log-append": 123106, "log-cold": 75.012, "log-hot": 1.712, "log-bolt": 46545} {
		if s := got[row]; s.missing != nil || s.Value != want {
			t.Errorf("%s = %v (%v), want %v", row, s.Value, s.missing, want)
		}
	}
	if d := got["log-append"].Detail; d["ns/op"] != 8123 || d["unsaved"] != 812 {
		t.Errorf("details: %v", d)
	}

	t.Log("a benchmark that is not there fails its own row, and only the raw figure may be left out")
	got = readLogRows(parseBenchmarks("BenchmarkDurableAppend 1000 10000 ns/op\n"))
	if got["log-append"].Value != 100_000 || !errors.Is(got["log-cold"].missing, errNoBenchmark) || !errors.Is(got["log-hot"].missing, errNoBenchmark) {
		t.Errorf("rows: %+v", got)
	}
	if _, ok := got["log-bolt"]; ok {
		t.Error("a raw figure out of nothing")
	}
	if got := readLogRows(parseBenchmarks("BenchmarkRawBoltBatch 100 11000 ns/op\n")); got["log-bolt"].missing == nil {
		t.Errorf("a batch is not an event: %+v", got["log-bolt"])
	}
}

func TestEveryRowHasItsExperiment(t *testing.T) {
	var measured []string
	for _, e := range experiments {
		measured = append(measured, e.rows...)
	}
	if !slices.Equal(measured, rowNames()) {
		t.Errorf("experiments measure %v, the table has %v", measured, rowNames())
	}
}
