package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLoad is the 1-minute load average above which a machine is too busy to measure on.
const maxLoad = 0.5

// maxSockets is how many client sockets one rig may hold: below the 20,000 descriptors that a process gets on common hosts.
const maxSockets = 19000

// host is what a reader needs to know to judge the figures.
type host struct {
	CPU    string    `json:"cpu"`
	CPUs   int       `json:"cpus"`
	Memory int64     `json:"memory_bytes"`
	Kernel string    `json:"kernel"`
	Go     string    `json:"go"`
	Load   []float64 `json:"loadavg"` // 1, 5 and 15 minutes, before the first run
}

func readHost() host {
	h := host{CPU: "unknown", Go: runtime.Version(), Load: loadAverage()}
	for line := range strings.Lines(readText("/proc/cpuinfo")) {
		k, v, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(k) {
		case "processor": // runtime.NumCPU would only know the one that the rig is pinned to
			h.CPUs++
		case "model name":
			h.CPU = strings.TrimSpace(v)
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = string(bytes.TrimRight(u.Release[:], "\x00"))
	}
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) == nil {
		h.Memory = int64(si.Totalram) * int64(si.Unit)
	}
	return h
}

// readText returns a small /proc file, or "" when it cannot be read.
func readText(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

func loadAverage() []float64 {
	fields := strings.Fields(readText("/proc/loadavg"))
	if len(fields) < 3 {
		return nil
	}
	out := make([]float64, 3)
	for i := range out {
		out[i], _ = strconv.ParseFloat(fields[i], 64)
	}
	return out
}

// checkHost refuses a machine on which the figures would be worth nothing.
func checkHost(h host, sockets int, busyAllowed bool) error {
	if err := checkDescriptors(sockets); err != nil {
		return err
	}
	if len(h.Load) > 0 && h.Load[0] > maxLoad && !busyAllowed {
		return fmt.Errorf("%w: 1-minute load is %.2f, above %.1f: other work would be measured too.\n"+
			"Stop it (see: top), wait until /proc/loadavg begins below %.1f, and run again; or give -force for figures that the table marks as untrusted",
			errRefused, h.Load[0], maxLoad, maxLoad)
	}
	return nil
}

func checkDescriptors(sockets int) error {
	if sockets > maxSockets {
		return fmt.Errorf("%w: %d client sockets asked, limit %d a process", errRefused, sockets, maxSockets)
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	// 600: what holdfast keeps free of its own limit, and the few descriptors that are not sockets.
	if need := uint64(sockets + 600); lim.Cur < need {
		return fmt.Errorf("%w: %d descriptors a process, %d needed for %d sockets. Run: ulimit -n %d (limits.conf or systemd LimitNOFILE when that is denied)",
			errRefused, lim.Cur, need, sockets, need)
	}
	return nil
}

// machineTimes are CPU times of the whole machine since boot, and of the rig with its ended servers. Unit: clock ticks.
type machineTimes struct{ total, idle, steal, own int64 }

func readMachineTimes() machineTimes {
	line, _, _ := strings.Cut(readText("/proc/stat"), "\n")
	t := parseMachineTimes(line)
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			t.own += (u.Utime.Nano() + u.Stime.Nano()) / int64(tick)
		}
	}
	return t
}

// parseMachineTimes reads the first line of /proc/stat: cpu user nice system idle iowait irq softirq steal guest
// guest_nice. The last two are contained in user and nice already.
func parseMachineTimes(line string) (t machineTimes) {
	for i, f := range strings.Fields(line) {
		if i == 0 || i > 8 {
			continue
		}
		v, _ := strconv.ParseInt(f, 10, 64)
		t.total += v
		switch i {
		case 4, 5:
			t.idle += v
		case 8:
			t.steal = v
		}
	}
	return t
}

// noise is what disturbed a measurement, in percent of the machine's CPU time: what the hypervisor gave to other guests,
// and what other processes of this machine used.
type noise struct {
	Steal  float64 `json:"steal_percent"`
	Others float64 `json:"others_percent"`
}

// maxOthers is the share of the machine that other processes may use over a whole measurement.
const maxOthers = 5

func noiseSince(start machineTimes) noise {
	now := readMachineTimes()
	total := float64(now.total - start.total)
	if total <= 0 {
		return noise{}
	}
	steal := float64(now.steal - start.steal)
	busy := total - float64(now.idle-start.idle) - steal
	return noise{Steal: 100 * steal / total, Others: max(0, 100*(busy-float64(now.own-start.own))/total)}
}

// commit names the working tree at root, and says whether it has changes that no commit holds.
func commit(root string) (id string, dirty bool) {
	id, err := resolve(root, "HEAD")
	if err != nil {
		return "unknown", true
	}
	changes, err := exec.Command("git", "-C", root, "status", "--porcelain").Output()
	return id, err != nil || len(bytes.TrimSpace(changes)) > 0
}
