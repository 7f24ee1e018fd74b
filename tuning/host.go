package tuning

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// host is the machine as this package sees it. Every fact about the system
// comes through these fields, so that tests describe a whole machine as text.
type host struct {
	readFile func(path string) ([]byte, error)
	readDir  func(path string) ([]string, error) // names, unsorted
	ram      func() uint64                       // bytes; 0 = unknown
	pageSize uint64                              // bytes; the unit of tcp_mem
}

func liveHost() host {
	return host{
		readFile: os.ReadFile,
		readDir: func(path string) ([]string, error) {
			entries, err := os.ReadDir(path)
			names := make([]string, len(entries))
			for i, e := range entries {
				names[i] = e.Name()
			}
			return names, err
		},
		ram:      totalRAM,
		pageSize: uint64(os.Getpagesize()),
	}
}

// totalRAM asks the kernel and not /proc/meminfo, which a unit with
// ProcSubset=pid cannot see.
func totalRAM() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

func (h host) exists(path string) bool {
	_, err := h.readFile(path)
	return err == nil
}

// sysctl returns the live value of a dotted key as a list of numbers, nil when
// the key does not exist here or is no list of numbers. Numbers above int64 are
// cut to the largest uint64 the kernel prints.
func (h host) sysctl(key string) []uint64 {
	b, err := h.readFile("/proc/sys/" + strings.ReplaceAll(key, ".", "/"))
	if err != nil {
		return nil
	}
	fields := strings.Fields(string(b))
	values := make([]uint64, len(fields))
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return nil
		}
		values[i] = n
	}
	return values
}

// sysctlOne is sysctl for a key that holds one number.
func (h host) sysctlOne(key string) (uint64, bool) {
	v := h.sysctl(key)
	if len(v) != 1 {
		return 0, false
	}
	return v[0], true
}

// nofile reads the descriptor limits of this process. "unlimited" is the
// largest uint64.
func (h host) nofile() (soft, hard uint64, err error) {
	b, err := h.readFile("/proc/self/limits")
	if err != nil {
		return 0, 0, fmt.Errorf("/proc/self/limits: %w", errUnreadable)
	}
	const row = "Max open files"
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte(row))
		if !ok {
			continue
		}
		fields := strings.Fields(string(rest))
		if len(fields) < 2 {
			break
		}
		soft, errSoft := parseLimit(fields[0])
		hard, errHard := parseLimit(fields[1])
		if errSoft != nil || errHard != nil {
			break
		}
		return soft, hard, nil
	}
	return 0, 0, fmt.Errorf("/proc/self/limits: %w", errMalformed)
}

func parseLimit(s string) (uint64, error) {
	if s == "unlimited" {
		return ^uint64(0), nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// container names the kind of container this process runs in, "" for none.
// Several marks are tried because no single one is left by every runtime.
func (h host) container() string {
	if b, err := h.readFile("/run/systemd/container"); err == nil {
		return strings.TrimSpace(string(b))
	}
	if h.exists("/.dockerenv") {
		return "docker"
	}
	if h.exists("/run/.containerenv") {
		return "podman"
	}
	if b, err := h.readFile("/proc/1/environ"); err == nil {
		for v := range bytes.SplitSeq(b, []byte{0}) {
			if kind, ok := bytes.CutPrefix(v, []byte("container=")); ok {
				return string(kind)
			}
		}
	}
	if b, err := h.readFile("/proc/1/cgroup"); err == nil {
		for _, mark := range []string{"kubepods", "docker", "containerd", "lxc"} {
			if bytes.Contains(b, []byte("/"+mark)) {
				return mark
			}
		}
	}
	return ""
}
