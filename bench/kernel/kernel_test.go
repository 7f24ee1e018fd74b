package kernel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is the program, built once for all tests.
var kernel string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "kernel")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		kernel = filepath.Join(dir, "kernel")
		if out, err := exec.Command("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", kernel, "kernel.c").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "cc kernel.c: %v (Debian: apt-get install gcc libc6-dev)\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// measured is what kernel -json writes, as far as it is judged here.
type measured struct {
	Sections []struct {
		Section string
		Sockets int
		Bytes   int
		Rows    []row
	}
}

type row struct {
	Way     string
	Refused *refusal

	// Figures; nil in a row that was refused, and where the section has none of the kind.
	CPUns         *figure `json:"cpu_ns"`
	CPUus         *figure `json:"cpu_us"`
	WallUS        *figure `json:"wall_us"`
	AllCPUus      *figure `json:"all_cpu_us"`
	AlonePercent  *figure `json:"alone_percent"`
	CopiedPercent *figure `json:"copied_percent"`
	P50us         *figure `json:"p50_us"`
	P99us         *figure `json:"p99_us"`
	BusyPercent   *figure `json:"busy_percent"`
	IdlePercent   *figure `json:"idle_percent"`
}

type refusal struct {
	Call, Errno string
	Number      int
}

type figure struct {
	Median float64
	Runs   []float64
}

// Every row of the smallest run is a figure that can be true, or a call that the kernel refused and its errno by name.
func TestEveryWayHasAFigureOrAnErrno(t *testing.T) {
	m := measure(t, (*exec.Cmd).CombinedOutput)
	judge(t, m)
	for _, s := range m.Sections {
		if first := s.Rows[0]; first.Refused != nil {
			t.Errorf("%s: %s needs no permission and was refused: %+v", s.Section, first.Way, *first.Refused)
		}
	}
}

// Container engines refuse io_uring by a filter of system calls: those rows say so, and all others have their figures.
func TestWhereTheKernelRefusesIOUring(t *testing.T) {
	m := measure(t, withoutIOUring)
	judge(t, m)
	rings := 0
	for _, s := range m.Sections {
		for _, r := range s.Rows {
			ring := strings.Contains(r.Way, "ring")
			switch {
			case ring && (r.Refused == nil || *r.Refused != refusal{"io_uring_setup", "EPERM", int(unix.EPERM)}):
				t.Errorf("%s: %s: %+v, want it refused: io_uring_setup, EPERM", s.Section, r.Way, r.Refused)
			case !ring && r.Refused != nil && r.Refused.Call == "io_uring_setup":
				t.Errorf("%s: %s was refused with io_uring", s.Section, r.Way)
			}
			if ring {
				rings++
			}
		}
	}
	if rings < 10 {
		t.Errorf("only %d ways of io_uring", rings)
	}
}

func TestOptionsThatCannotBeMeasured(t *testing.T) {
	for name, c := range map[string]struct {
		command []string
		says    string
	}{
		"more sockets than descriptors": {[]string{kernel, "-sockets", "20000"}, "want a number from 1 to 19900"},
		"a low hard limit":              {[]string{"/bin/sh", "-c", "ulimit -n 300; exec " + kernel + " -sockets 1000"}, "1100 descriptors are needed, the hard limit is 300"},
		"no number":                     {[]string{kernel, "-rounds", "many"}, "-rounds many: want a number"},
		"an empty list":                 {[]string{kernel, "-sockets", ","}, "-sockets: no number"},
		"no such CPU":                   {[]string{kernel, "-writer-cpu", "1023"}, "-writer-cpu 1023: sched_setaffinity: Invalid argument"},
		"no such reader":                {[]string{kernel, "-reader", "sleep"}, "want spin or block"},
		"no such section":               {[]string{kernel, "-only", "all"}, "want bare, fanout, size or waits"},
		"no such option":                {[]string{kernel, "-sender", "1"}, "usage: kernel"},
		"a word too many":               {[]string{kernel, "now"}, "now: not an option"},
	} {
		t.Run(name, func(t *testing.T) {
			// A CPU of the default may be missing here; the case of it comes last in the program's checks.
			args := append(append([]string{}, c.command[1:]...), onCPUs(t)...)
			if name == "a low hard limit" || name == "no such CPU" {
				args = c.command[1:]
			}
			out, err := exec.Command(c.command[0], args...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), c.says) {
				t.Errorf("%v, want exit status 2 and %q:\n%s", err, c.says, out)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	out, err := exec.Command(kernel, "--help").Output()
	if err != nil || !strings.Contains(string(out), "-json FILE") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// measure runs the smallest size, in the way that run starts a command.
func measure(t *testing.T, run func(*exec.Cmd) ([]byte, error)) measured {
	t.Helper()
	to := filepath.Join(t.TempDir(), "kernel.json")
	args := append(onCPUs(t), "-sockets", "20", "-deliveries", "40", "-requests", "20", "-gap", "0", "-quiet", "2", "-rounds", "1", "-json", to)
	if out, err := run(exec.Command(kernel, args...)); err != nil {
		t.Fatalf("kernel: %v\n%s", err, out)
	}
	text, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	var m measured
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return m
}

// onCPUs names two CPUs that this process may use, or the one, where the reader must sleep for the writer to run.
func onCPUs(t *testing.T) []string {
	t.Helper()
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	reader, writer := -1, -1
	for i := range len(allowed) * 64 {
		if allowed.IsSet(i) {
			reader, writer = writer, i
		}
	}
	if reader < 0 {
		return []string{"-reader-cpu", strconv.Itoa(writer), "-writer-cpu", strconv.Itoa(writer), "-reader", "block"}
	}
	return []string{"-reader-cpu", strconv.Itoa(reader), "-writer-cpu", strconv.Itoa(writer)}
}

// withoutIOUring runs a command with a filter that answers io_uring_setup with EPERM. The filter is on one thread, from
// which the command is forked, and the thread ends with its goroutine, for that never unlocks it.
func withoutIOUring(cmd *exec.Cmd) (out []byte, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		const numberOffset = 0 // of the system call's number in struct seccomp_data
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: numberOffset},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return
		}
		if err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
			return
		}
		out, err = cmd.CombinedOutput()
	}()
	<-done
	return out, err
}

// judge looks at every row: the sections and ways that must be there, bounds that no machine breaks, errno names.
func judge(t *testing.T, m measured) {
	t.Helper()
	rows := map[string]int{}
	for _, s := range m.Sections {
		rows[s.Section] += len(s.Rows)
		for _, r := range s.Rows {
			if r.Refused != nil {
				if r.Refused.Call == "" || !strings.HasPrefix(r.Refused.Errno, "E") || r.Refused.Number <= 0 {
					t.Errorf("%s: %s was refused without a name: %+v", s.Section, r.Way, *r.Refused)
				}
				continue
			}
			for name, of := range map[string]struct {
				is          *figure
				in          string // sections that have it
				least, most float64
			}{
				"cpu_ns":         {r.CPUns, "bare", 1, 1e6},
				"cpu_us":         {r.CPUus, "fanout size", 0.1, 1e5},
				"wall_us":        {r.WallUS, "fanout size", 0.1, 1e6},
				"all_cpu_us":     {r.AllCPUus, "fanout size", 0.1, 1e5},
				"alone_percent":  {r.AlonePercent, "fanout size", 0, 100},
				"copied_percent": {r.CopiedPercent, "size", 0, 100},
				"p50_us":         {r.P50us, "waits", 1, 1e6},
				"p99_us":         {r.P99us, "waits", 1, 1e7},
				"busy_percent":   {r.BusyPercent, "waits", 0.001, 101},
				"idle_percent":   {r.IdlePercent, "waits", 0, 101},
			} {
				if has := strings.Contains(of.in, s.Section); has != (of.is != nil) {
					t.Errorf("%s: %s: has %s: %v, want %v", s.Section, r.Way, name, !has, has)
				} else if has && (len(of.is.Runs) != 1 || of.is.Median < of.least || of.is.Median > of.most) {
					t.Errorf("%s: %s: %s is %+v, want one run from %v to %v", s.Section, r.Way, name, *of.is, of.least, of.most)
				}
			}
		}
	}
	for section, want := range map[string]int{"bare": 4, "fanout": 14, "size": 4 * 4, "waits": 7} {
		if rows[section] != want {
			t.Errorf("%d rows of %s, want %d", rows[section], section, want)
		}
	}
}
