package main

import (
	"os"
	"testing"
	"time"
)

func TestSockstat(t *testing.T) {
	inUse, pages, err := parseSockstat("sockets: used 40\nTCP: inuse 40004 orphan 0 tw 2 alloc 40005 mem 256\nUDP: inuse 0 mem 0\n")
	if inUse != 40004 || pages != 256 || err != nil {
		t.Errorf("%d in use, %d pages, %v", inUse, pages, err)
	}
	for _, text := range []string{"", "TCP: inuse\n"} {
		if _, _, err := parseSockstat(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestSizes(t *testing.T) {
	got := parseSizes("VmRSS:\t    1234 kB\nThreads:\t9\nName:\tholdfast\nHugePages_Total:       0\n")
	if got["VmRSS"] != 1234<<10 || got["Threads"] != 9 || len(got) != 3 {
		t.Errorf("%v", got)
	}
}

func TestSlabsCountWholePages(t *testing.T) {
	page := int64(os.Getpagesize())
	got, err := parseSlabs("slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n" +
		"TCP                  90    130   2368   13    8 : tunables    0    0    0 : slabdata     10     10      0\n" +
		"empty                 0      0     64   64    1 : tunables    0    0    0 : slabdata      0      0      0\n")
	if err != nil || len(got) != 1 || got["TCP"] != 10*8*page {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCounters(t *testing.T) {
	const text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\nIpExt: InNoRoutes\nIpExt: 4\n"
	for name, want := range map[string]int64{"ListenOverflows": 22, "InNoRoutes": 4, "None": 0} {
		if got := parseCounter(text, name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

// This process looks at itself: a sample has what the kernel has.
func TestLookAtAProcess(t *testing.T) {
	w := watcher{server: os.Getpid()}
	s, err := w.look("", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if s.Server.Resident <= 0 || s.Server.CPU <= 0 || s.Server.Threads < 1 || s.Client.Resident != 0 {
		t.Errorf("%+v, %+v", s.Server, s.Client)
	}
	for _, name := range meminfoNames {
		if _, known := s.Memory[name]; !known {
			t.Errorf("no %s", name)
		}
	}
	p, err := readProcess(os.Getpid(), true)
	if err != nil || p.Resident <= 0 || p.Anon <= 0 {
		t.Errorf("by pages %+v, %v", p, err)
	}
}
