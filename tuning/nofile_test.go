package tuning

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// childEnv selects what the test binary does when it runs as its own child:
// limits belong to a process, so each case needs one.
const childEnv = "HOLDFAST_TUNING_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "raise":
		// The Go runtime raises the soft limit at its start; begin below that.
		r := syscall.Rlimit{Cur: 300, Max: 2000}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		limit, err := RaiseNofile()
		if errGet := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); errGet != nil {
			err = errGet
		}
		fmt.Println(limit, r.Cur, r.Max, err)
		os.Exit(0)
	case "grow":
		limit, err := strconv.ParseUint(os.Args[1], 10, 64)
		if err == nil {
			err = GrowDescriptorTable(limit)
		}
		names, _ := os.ReadDir("/proc/self/fd")
		fmt.Println(tableSize(), len(names), err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// tableSize is the kernel's own word on the size of the descriptor table.
func tableSize() int {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("FDSize:")); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(string(v)))
			return n
		}
	}
	return 0
}

func runChild(t *testing.T, mode string, args ...string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := `ulimit -n 2000 && exec "$@"`
	cmd := exec.Command("sh", append([]string{"-c", script, "sh", self}, args...)...)
	cmd.Env = append(os.Environ(), childEnv+"="+mode)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Fields(string(out))
}

func TestRaiseNofileReachesTheHardLimit(t *testing.T) {
	got := runChild(t, "raise")
	if want := []string{"2000", "2000", "2000", "<nil>"}; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("limit, soft, hard, err = %v, want %v", got, want)
	}
}

func TestDescriptorSlots(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		nofile      uint64
		connections int
		memory      uint64
		want        uint64
	}{
		"the descriptor limit is the least":   {20_000, 0, 16 * gib, 20_000},
		"a container's limit, by memory":      {gib, 0, 16 * gib, 16*gib/4250 + 512},
		"a container's limit, on a giant":     {gib, 0, 1024 * gib, 1 << 24},
		"a container's limit, unknown memory": {gib, 0, 0, 1 << 24},
		"no limit at all":                     {1<<64 - 1, 0, 1<<64 - 1, 1 << 24},
		"a low ceiling may be raised later":   {gib, 5000, 16 * gib, 16*gib/4250 + 512},
		"a ceiling above what memory holds":   {gib, 5_000_000, 16 * gib, 5_000_512},
		"the ceiling is above 2^24":           {gib, 50_000_000, 16 * gib, 50_000_512},
		"the ceiling is above the limit":      {20_000, 50_000, 16 * gib, 20_000},
		"hardly any memory":                   {20_000, 0, 4096, 512},
	} {
		t.Run(name, func(t *testing.T) {
			if got := DescriptorSlots(c.nofile, c.connections, c.memory); got != c.want {
				t.Errorf("%d slots, want %d", got, c.want)
			}
		})
	}
}

func TestGrowDescriptorTable(t *testing.T) {
	for name, c := range map[string]struct {
		limit    string
		wantSize int
		wantErr  string
	}{
		"to the limit":    {"2000", 2000, "<nil>"},
		"small":           {"300", 300, "<nil>"},
		"above the limit": {"2001", 0, "invalid argument"},
		"absurd":          {"1073741816", 0, "invalid argument"},
		"zero":            {"0", 0, "invalid argument"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(runChild(t, "grow", c.limit), " ")
			var size, open int
			if _, err := fmt.Sscan(got, &size, &open); err != nil {
				t.Fatalf("child said %q", got)
			}
			if size < c.wantSize || !strings.HasSuffix(got, c.wantErr) {
				t.Errorf("table of %d (want at least %d): %s, want error %s", size, c.wantSize, got, c.wantErr)
			}
			if open > 16 {
				t.Errorf("%d descriptors left open", open)
			}
		})
	}
}
