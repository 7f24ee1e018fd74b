package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseProc(t *testing.T) {
	m := parseMachineTimes("cpu  100 5 20 1000 50 3 7 9 11 13")
	if m.total != 1194 || m.idle != 1050 || m.steal != 9 {
		t.Errorf("machine times: %+v", m)
	}
	ns, err := parseTicks("42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 123 77 0 0 20 0 5 0 100 1000 200")
	if err != nil || ns != int64(2*time.Second) {
		t.Errorf("ticks: %d, %v", ns, err)
	}
	if _, err := parseTicks("nonsense"); err == nil {
		t.Error("ticks of nonsense")
	}
	b, err := kilobytes("Name:\tx\nVmRSS:\t    5124 kB\nRssAnon:\t 100 kB\n", "VmRSS:")
	if err != nil || b != 5124*1024 {
		t.Errorf("VmRSS: %d, %v", b, err)
	}
	if _, err := kilobytes("Name:\tx\n", "VmRSS:"); err == nil {
		t.Error("VmRSS found where none is")
	}
}

// The process clock must be that of the process: it moves by what the process works, and agrees with /proc/PID/stat.
func TestServerCPUClock(t *testing.T) {
	self := &server{pid: os.Getpid()}
	cpu, ticks, err := self.used(func() error {
		// Until getrusage(2), a third account, has 100 ms more: on a loaded machine that takes longer than 100 ms.
		busy := func() (ns int64) {
			var u unix.Rusage
			if unix.Getrusage(unix.RUSAGE_SELF, &u) == nil {
				ns = u.Utime.Nano() + u.Stime.Nano()
			}
			return ns
		}
		for end := busy() + int64(100*time.Millisecond); busy() < end; {
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if cpu < int64(70*time.Millisecond) || cpu-ticks > int64(30*time.Millisecond) || ticks-cpu > int64(30*time.Millisecond) {
		t.Errorf("CPU clock %v, /proc/PID/stat %v", time.Duration(cpu), time.Duration(ticks))
	}
	m, err := self.memory()
	if err != nil || m.rss < m.anon || m.anon <= 0 || m.pss <= 0 {
		t.Errorf("memory %+v, %v", m, err)
	}
}

func TestCheckHostRefusesABusyMachine(t *testing.T) {
	busy := host{Load: []float64{0.51, 0, 0}}
	if err := checkHost(busy, 10, false); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "-force") {
		t.Errorf("busy machine: %v", err)
	}
	if err := checkHost(busy, 10, true); err != nil {
		t.Errorf("busy machine with -force: %v", err)
	}
	if err := checkHost(host{Load: []float64{0.5, 0, 0}}, 10, false); err != nil {
		t.Errorf("idle machine: %v", err)
	}
	if err := checkHost(host{}, maxSockets+1, true); !errors.Is(err, errRefused) {
		t.Errorf("too many sockets: %v", err)
	}
}

func TestChooseCPUs(t *testing.T) {
	set := func(cpus ...int) *unix.CPUSet {
		var s unix.CPUSet
		for _, c := range cpus {
			s.Set(c)
		}
		return &s
	}
	for _, tt := range []struct {
		name           string
		allowed        *unix.CPUSet
		server, client int
		want           cpus
		refused        bool
	}{
		{"two", set(0, 1), -1, -1, cpus{1, 0}, false},
		{"server given", set(0, 1), 0, -1, cpus{0, 1}, false},
		{"client given", set(2, 5, 7), -1, 7, cpus{5, 7}, false},
		{"one", set(3), -1, -1, cpus{}, true},
		{"the same", set(0, 1), 1, 1, cpus{}, true},
		{"not allowed", set(0, 1), 4, -1, cpus{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := chooseCPUs(tt.allowed, tt.server, tt.client)
			if got != tt.want || errors.Is(err, errRefused) != tt.refused {
				t.Fatalf("chooseCPUs = %v, %v", got, err)
			}
		})
	}
}

func TestCommandLineOfAServer(t *testing.T) {
	plain := target{command: []string{"/bin/holdfast"}}.arguments(1, 2, "/d")
	if !slices.Equal(plain[:8], []string{"/bin/holdfast", "serve", "--listen", "127.0.0.1:1", "--admin-listen", "127.0.0.1:2", "--data-dir", "/d"}) {
		t.Errorf("holdfast: %q", plain)
	}
	other := target{command: []string{"/bin/holdfast"}, pusher: true}.with(noHistory, "--set", "admin.pprof=true")
	if args := other.arguments(1, 2, "/d"); !other.ours() || !slices.Equal(args[len(args)-4:], []string{"--config", configName, "--set", "admin.pprof=true"}) {
		t.Errorf("holdfast with a configuration: %q", args)
	}
	own := target{command: strings.Fields("other --port={port} {listen} {admin} {data}")}.arguments(1, 2, "/d")
	if !slices.Equal(own, []string{"other", "--port=1", "127.0.0.1:1", "127.0.0.1:2", "/d"}) {
		t.Errorf("with placeholders: %q", own)
	}
}

func TestCleanEnvironment(t *testing.T) {
	got := cleanEnvironment([]string{"PATH=/bin", "HOLDFAST_LOGGING_LEVEL=debug", "REVERB_APP_ID=1", "GOMAXPROCS=8", "GOGC=off", "HOME=/root"})
	if !slices.Equal(got, []string{"PATH=/bin", "HOME=/root"}) {
		t.Errorf("environment: %q", got)
	}
}

func TestPlanFlags(t *testing.T) {
	var errs strings.Builder
	p, err := parsePlan([]string{"-quick", "-rows", "memory,latency", "-compare", "old=/x/holdfast", "-root", "."}, &errs)
	if err != nil || len(p.Rows) != 2 || p.Runs != 1 || p.compare[0].name != "old" || p.compare[0].command != "/x/holdfast" {
		t.Errorf("plan %+v, %v", p, err)
	}
	if p, err := parsePlan([]string{"-rows", "log,history", "-root", "."}, &errs); err != nil || len(p.Rows) != len(groups["log"])+1 {
		t.Errorf("a group of rows: %v, %v", p.Rows, err)
	}
	for _, bad := range [][]string{
		{"-rows", "speed"}, {"-runs", "0"}, {"-compare", "floor=/x"}, {"-compare", "x"}, {"-client", "nap"}, {"surplus"},
		{"-compare", "a=/x", "-compare", "a=/y"},
	} {
		if _, err := parsePlan(append(bad, "-root", "."), &errs); !errors.Is(err, errRefused) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
