package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// meminfoNames are the lines of /proc/meminfo that a sample keeps.
var meminfoNames = []string{"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "AnonPages", "AnonHugePages", "Slab", "SUnreclaim",
	"KernelStack", "PageTables", "VmallocUsed", "Percpu"}

// watcher reads samples. The zero pid stands for a process that is not there yet.
type watcher struct {
	server, client int
	sockets        int64 // established or listening before anybody connected
}

// look takes a sample; a labelled one reads more, which takes the kernel some milliseconds.
func (w *watcher) look(label string, now time.Time) (*sample, error) {
	s := &sample{Label: label, At: now, Memory: map[string]int64{}}
	memory, err := readSizes("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	for _, name := range meminfoNames {
		s.Memory[name] = memory[name]
	}
	sockstat, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return nil, err
	}
	inUse, pages, err := parseSockstat(string(sockstat))
	if err != nil {
		return nil, err
	}
	if label == labelBefore {
		w.sockets = inUse
	}
	s.Connections, s.TCP = int(inUse-w.sockets)/2, pages*int64(os.Getpagesize())
	if s.Server, err = readProcess(w.server, label != ""); err != nil {
		return nil, err
	}
	if s.Client, err = readProcess(w.client, label != ""); err != nil {
		return nil, err
	}
	counters, err := os.ReadFile("/proc/net/netstat")
	if err != nil {
		return nil, err
	}
	s.LostSYN = parseCounter(string(counters), "ListenOverflows")
	if counters, err = os.ReadFile("/proc/net/snmp"); err != nil {
		return nil, err
	}
	s.Resent = parseCounter(string(counters), "RetransSegs")
	if label == "" {
		return s, nil
	}
	slabs, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		return nil, err
	}
	s.Slabs, err = parseSlabs(string(slabs))
	return s, err
}

// readProcess reads what is known of a process. exact sums the pages up: what the
// kernel keeps ready is short of up to 64 pages a thread.
func readProcess(pid int, exact bool) (p process, err error) {
	if pid == 0 {
		return p, nil
	}
	dir := fmt.Sprintf("/proc/%d/", pid)
	status, err := readSizes(dir + "status")
	if err != nil {
		return p, err
	}
	p = process{Resident: status["VmRSS"], Peak: status["VmHWM"], Anon: status["RssAnon"], Threads: status["Threads"]}
	if exact {
		pages, err := readSizes(dir + "smaps_rollup")
		if err != nil {
			return p, err
		}
		p.Resident, p.Anon = pages["Rss"], pages["Anonymous"]
	}
	// The clock of another process (CPUCLOCK_SCHED of linux/posix-timers.h) counts
	// nanoseconds, where /proc/PID/stat counts ticks of 10 ms.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return p, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	p.CPU = float64(ts.Nano()) / 1e9
	return p, nil
}

func readSizes(file string) (map[string]int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseSizes(string(text)), nil
}

// parseSizes reads lines of "Name: 123 kB", as bytes, and of "Name: 123". Others are left out.
func parseSizes(text string) map[string]int64 {
	sizes := map[string]int64{}
	for line := range strings.Lines(text) {
		name, rest, found := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !found || len(fields) == 0 {
			continue
		}
		n, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			continue
		}
		if len(fields) == 2 && fields[1] == "kB" {
			n *= 1024
		}
		sizes[name] = n
	}
	return sizes
}

// parseSockstat finds the TCP sockets in use and the pages that their buffers hold:
// "TCP: inuse 3 orphan 0 tw 0 alloc 5 mem 1".
func parseSockstat(text string) (inUse, pages int64, err error) {
	for line := range strings.Lines(text) {
		rest, is := strings.CutPrefix(line, "TCP: ")
		if !is {
			continue
		}
		if _, err := fmt.Sscanf(rest, "inuse %d orphan %d tw %d alloc %d mem %d", &inUse, new(int64), new(int64), new(int64), &pages); err != nil {
			return 0, 0, fmt.Errorf("/proc/net/sockstat: %q: %w", line, err)
		}
		return inUse, pages, nil
	}
	return 0, 0, fmt.Errorf("/proc/net/sockstat has no line of TCP")
}

// parseCounter finds a counter of /proc/net/netstat or snmp: a line of names, then
// one of numbers, with the same first word. 0 if there is none of that name.
func parseCounter(text, name string) int64 {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(names) == 0 || len(fields) == 0 || fields[0] != names[0] {
			names = fields
			continue
		}
		for i, n := range names {
			if n == name && i < len(fields) {
				v, _ := strconv.ParseInt(fields[i], 10, 64)
				return v
			}
		}
		names = nil
	}
	return 0
}

// parseSlabs sums the bytes of each cache of /proc/slabinfo (version 2.1): its slabs
// times their pages, so partly filled ones count whole.
func parseSlabs(text string) (map[string]int64, error) {
	slabs := map[string]int64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 16 || f[0] == "#" {
			continue
		}
		pages, err := strconv.ParseInt(f[5], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("/proc/slabinfo: %q: %w", line, err)
		}
		count, err := strconv.ParseInt(f[14], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("/proc/slabinfo: %q: %w", line, err)
		}
		if bytes := pages * count * int64(os.Getpagesize()); bytes > 0 {
			slabs[f[0]] = bytes
		}
	}
	return slabs, nil
}
