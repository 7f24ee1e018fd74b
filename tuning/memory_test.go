package tuning

import (
	"runtime/debug"
	"testing"
)

func lookup(env map[string]string) func(string) (string, bool) {
	return func(k string) (string, bool) {
		v, ok := env[k]
		return v, ok
	}
}

func TestMemoryPlan(t *testing.T) {
	const gib = 1 << 30
	tcpMem := map[string]string{"/proc/sys/net/ipv4/tcp_mem": "100 200 1000000\n"}
	for name, c := range map[string]struct {
		files   map[string]string
		ram     uint64
		opts    MemoryOptions
		env     map[string]string
		bytes   uint64
		goLimit int64
		gogc    int
	}{
		"85 % of RAM": {
			ram: 100 * gib, files: tcpMem,
			bytes: 85 * gib, goLimit: (85*gib - goReserve) / 10 * 9, gogc: gcPercent,
		},
		"connections reserve kernel memory": {
			ram: 100 * gib, files: tcpMem, opts: MemoryOptions{Connections: 500_000},
			bytes: 85 * gib, goLimit: (85*gib - goReserve - 500_000*(kernelSocketBytes+4096)) / 10 * 9, gogc: gcPercent,
		},
		"a broadcast holds at most tcp_mem": {
			ram: 100 * gib, files: tcpMem, opts: MemoryOptions{Connections: 2_000_000},
			bytes: 85 * gib, goLimit: (85*gib - goReserve - 2_000_000*kernelSocketBytes - 1_000_000*4096) / 10 * 9, gogc: gcPercent,
		},
		"tcp_mem hidden: the kernel's default": {
			ram: 1 << 36, opts: MemoryOptions{Connections: 2_000_000},
			bytes:   (1 << 36) / 100 * 85,
			goLimit: ((1<<36)/100*85 - goReserve - 2_000_000*kernelSocketBytes - (1<<36)/32*3) / 10 * 9, gogc: gcPercent,
		},
		"a small host keeps a quarter": {
			ram: gib, files: tcpMem, opts: MemoryOptions{Connections: 1_000_000},
			bytes: gib / 100 * 85, goLimit: gib / 100 * 85 / 100 * 25, gogc: gcPercent,
		},
		"memory_bytes is given": {
			ram: 100 * gib, files: tcpMem, opts: MemoryOptions{Bytes: 10 * gib},
			bytes: 10 * gib, goLimit: (10*gib - goReserve) / 10 * 9, gogc: gcPercent,
		},
		"GOMEMLIMIT is the user's": {
			ram: 100 * gib, env: map[string]string{"GOMEMLIMIT": "1GiB"},
			bytes: 85 * gib, goLimit: 0, gogc: gcPercent,
		},
		"GOGC is the user's, even off": {
			ram: 100 * gib, env: map[string]string{"GOGC": "off"},
			bytes: 85 * gib, goLimit: (85*gib - goReserve) / 10 * 9, gogc: 0,
		},
		"nothing is known": {bytes: 0, goLimit: 0, gogc: gcPercent},
	} {
		t.Run(name, func(t *testing.T) {
			c.opts.LookupEnv = lookup(c.env)
			got := planMemory(hostOf(c.files, c.ram), c.opts)
			if delta := got.GoLimit - c.goLimit; got.Bytes/100 != c.bytes/100 || delta > 1000 || delta < -1000 || got.GOGC != c.gogc {
				t.Errorf("bytes %d, GOMEMLIMIT %d, GOGC %d; want %d, %d, %d",
					got.Bytes, got.GoLimit, got.GOGC, c.bytes, c.goLimit, c.gogc)
			}
		})
	}
}

func TestApplyMemorySetsTheRuntime(t *testing.T) {
	oldLimit := debug.SetMemoryLimit(-1)
	oldPercent := debug.SetGCPercent(100)
	defer func() {
		debug.SetMemoryLimit(oldLimit)
		debug.SetGCPercent(oldPercent)
	}()

	plan := ApplyMemory(MemoryOptions{Bytes: 4 << 30, LookupEnv: lookup(nil)})
	if got := debug.SetMemoryLimit(-1); got != plan.GoLimit || got == oldLimit {
		t.Errorf("GOMEMLIMIT in force %d, plan %d, before %d", got, plan.GoLimit, oldLimit)
	}
	if got := debug.SetGCPercent(77); got != gcPercent {
		t.Errorf("GOGC in force %d, want %d", got, gcPercent)
	}

	ApplyMemory(MemoryOptions{Bytes: 8 << 30, LookupEnv: lookup(map[string]string{"GOGC": "77", "GOMEMLIMIT": "4GiB"})})
	if got := debug.SetMemoryLimit(-1); got != plan.GoLimit {
		t.Errorf("GOMEMLIMIT changed to %d against the environment", got)
	}
	if got := debug.SetGCPercent(100); got != 77 {
		t.Errorf("GOGC changed to %d against the environment", got)
	}
}

func TestMemoryBoundOfThisHost(t *testing.T) {
	ceiling, source := liveHost().memoryCeiling()
	if got := MemoryBound(); got == 0 || got >= ceiling {
		t.Errorf("MemoryBound() = %d of %d by %s", got, ceiling, source)
	}
}

func TestShowBytes(t *testing.T) {
	for in, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3994: "3.9 KiB", 1 << 20: "1.0 MiB", 64 << 30: "64.0 GiB", 1 << 60: "1024.0 PiB",
	} {
		if got := showBytes(in); got != want {
			t.Errorf("showBytes(%d) = %q, want %q", in, got, want)
		}
	}
}
