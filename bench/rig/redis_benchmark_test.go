package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseMonitor(t *testing.T) {
	got, err := parseMonitor(`1795766415.894366 [0 127.0.0.1:50340] "EVALSHA" "3c5d" "1" "a {b} \"c\"" "\x95\x05z\n\\" ""`)
	if want := []string{"EVALSHA", "3c5d", "1", `a {b} "c"`, "\x95\x05z\n\\", ""}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "OK", `1 [0 x] "open`, `1 [0 x] bare`, `1 [0 x] "a" b`} {
		if got, err := parseMonitor(bad); !errors.Is(err, errReply) {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
}

// What redis-benchmark gets is the node's call with an envelope of the same length.
func TestCallIsReady(t *testing.T) {
	call := publishCall{"EVALSHA", "3c5d", "1", "key", "name", "0", "\x00\x01\x02"}
	if got, want := call.ready(), []string{"EVALSHA", "3c5d", "1", "key", "name", "0", "xxx"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	if call.head() != "key" || call.channel() != "name" || call.envelope() != "\x00\x01\x02" {
		t.Errorf("%q %q %q", call.head(), call.channel(), call.envelope())
	}
}

func TestParseBenchmark(t *testing.T) {
	const titles = `"test","rps","avg_latency_ms"` + "\n"
	if got, err := parseBenchmark(strings.NewReader(titles + `"EVALSHA 3c5d","32536.20","1.837"` + "\n")); got != 32536.2 || err != nil {
		t.Errorf("%g, %v", got, err)
	}
	for _, bad := range []string{"", titles, titles + `"x","inf","1"`, titles + `"x","0.00","1"`, titles + `"x","fast","1"`, "a,b,c\n1,2,3\n"} {
		if got, err := parseBenchmark(strings.NewReader(bad)); !errors.Is(err, errBenchmark) {
			t.Errorf("%q: %g, %v", bad, got, err)
		}
	}
}
