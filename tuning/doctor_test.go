package tuning

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata")

// Each .host file holds one machine on which all checks come to one verdict
// (nofile knows no warning, it is ok there); the .txt beside it is what the
// operator reads.
func TestDoctorSaysWhatItFound(t *testing.T) {
	for _, c := range []struct {
		name string
		exit int
	}{{"ok", 0}, {"warn", 1}, {"fail", 2}, {"unknown", 1}} {
		t.Run(c.name, func(t *testing.T) {
			h := loadHost(t, c.name)
			var out bytes.Buffer
			if exit := doctor(h, DoctorOptions{}, &out); exit != c.exit {
				t.Errorf("exit code %d, want %d", exit, c.exit)
			}
			golden := "testdata/doctor/" + c.name + ".txt"
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), want) {
				t.Errorf("output differs from %s:\n%s", golden, out.String())
			}
			for line := range strings.Lines(out.String()) {
				if strings.HasPrefix(line, "ok: nofile") {
					continue
				}
				if verdict, _, ok := strings.Cut(line, ": "); ok && verdict != c.name && verdict != "verdict" {
					t.Errorf("%s host has the line %q", c.name, line)
				}
			}
		})
	}
}

func TestDoctorJSONHasEveryPart(t *testing.T) {
	var out bytes.Buffer
	doctor(loadHost(t, "fail"), DoctorOptions{JSON: true}, &out)
	var got struct {
		Connections int
		Verdict     string
		Checks      []struct{ Name, Verdict, Found, Consequence, Command string }
		Memory      struct {
			Items []struct {
				Name  string
				Bytes uint64
			}
			TotalBytes    uint64 `json:"total_bytes"`
			CeilingBytes  uint64 `json:"ceiling_bytes"`
			CeilingSource string `json:"ceiling_source"`
		}
		Sysctl *struct{}
	}
	d := json.NewDecoder(&out)
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Connections != defaultConnections || got.Verdict != "fail" || got.Sysctl != nil {
		t.Errorf("connections %d, verdict %q, sysctl %v", got.Connections, got.Verdict, got.Sysctl)
	}
	if len(got.Checks) != len(checks) {
		t.Fatalf("%d checks, want %d", len(got.Checks), len(checks))
	}
	for _, c := range got.Checks {
		if c.Verdict != "fail" || c.Found == "" || c.Consequence == "" || c.Command == "" {
			t.Errorf("incomplete finding: %+v", c)
		}
	}
	var sum uint64
	for _, item := range got.Memory.Items {
		sum += item.Bytes
	}
	if sum != got.Memory.TotalBytes || got.Memory.CeilingBytes != 4<<30 || got.Memory.CeilingSource != "RAM" {
		t.Errorf("memory %+v, items add up to %d", got.Memory, sum)
	}
}

func TestCheckBoundaries(t *testing.T) {
	const (
		limits  = "/proc/self/limits"
		nrOpen  = "/proc/sys/fs/nr_open"
		watches = "/proc/sys/fs/epoll/max_user_watches"
		somax   = "/proc/sys/net/core/somaxconn"
		tcpMem  = "/proc/sys/net/ipv4/tcp_mem"
	)
	for name, c := range map[string]struct {
		check   string
		file    string
		content string
		want    verdict
		says    string
	}{
		"nofile exactly enough":           {"nofile", limits, "Max open files  1024  10512  files\n", verdictOK, "needs 10512"},
		"nofile one short":                {"nofile", limits, "Max open files  10511  10511  files\n", verdictFail, "connection 10000 and later ones"},
		"nofile below the reserve":        {"nofile", limits, "Max open files  256  256  files\n", verdictFail, "connection 1 and later ones"},
		"nofile unlimited":                {"nofile", limits, "Max open files  unlimited  unlimited  files\n", verdictOK, "needs 10512"},
		"nofile row missing":              {"nofile", limits, "Max cpu time  1  1  seconds\n", verdictUnknown, "unexpected content"},
		"nofile row cut":                  {"nofile", limits, "Max open files  1024\n", verdictUnknown, "unexpected content"},
		"nr_open with room":               {"nr_open", nrOpen, "75536\n", verdictOK, ""},
		"nr_open without room":            {"nr_open", nrOpen, "75535\n", verdictWarn, "sysctl -w fs.nr_open=131072"},
		"nr_open exactly the descriptors": {"nr_open", nrOpen, "10512\n", verdictWarn, "only 512 descriptors"},
		"nr_open one short":               {"nr_open", nrOpen, "10511\n", verdictFail, "whatever LimitNOFILE says"},
		"watches a tenth over":            {"epoll_watches", watches, "11000\n", verdictOK, ""},
		"watches short of a tenth":        {"epoll_watches", watches, "10999\n", verdictWarn, "sysctl -w fs.epoll.max_user_watches=11000"},
		"watches exactly":                 {"epoll_watches", watches, "10000\n", verdictWarn, ""},
		"watches one short":               {"epoll_watches", watches, "9999\n", verdictFail, "socket 10000 and later ones"},
		"watches not a number":            {"epoll_watches", watches, "lots\n", verdictUnknown, ""},
		"somaxconn of 4 seconds":          {"somaxconn", somax, "4000\n", verdictOK, ""},
		"somaxconn short":                 {"somaxconn", somax, "3999\n", verdictWarn, "sysctl -w net.core.somaxconn=4000"},
		"somaxconn of a quarter second":   {"somaxconn", somax, "250\n", verdictWarn, ""},
		"somaxconn below that":            {"somaxconn", somax, "249\n", verdictFail, ""},
		"tcp_mem pressure at a page each": {"tcp_mem", tcpMem, "5000 10000 10000\n", verdictOK, ""},
		"tcp_mem pressure below":          {"tcp_mem", tcpMem, "5000 9999 10000\n", verdictWarn, `net.ipv4.tcp_mem="65536 98304 131072"`},
		"tcp_mem high below":              {"tcp_mem", tcpMem, "5000 7000 9999\n", verdictFail, "TCPAbortOnMemory"},
		"tcp_mem keeps a larger low":      {"tcp_mem", tcpMem, "70000 9000 9500\n", verdictFail, `"70000 98304 131072"`},
		"tcp_mem hidden in a namespace":   {"tcp_mem", tcpMem, "", verdictUnknown, "network namespaces"},
		"memory enough":                   {"memory", "/sys/fs/cgroup/memory.max", "1000000000\n", verdictOK, ""},
		"memory tight":                    {"memory", "/sys/fs/cgroup/memory.max", "650000000\n", verdictWarn, "connections fit"},
		"memory short":                    {"memory", "/sys/fs/cgroup/memory.max", "600000000\n", verdictFail, "the kernel kills"},
	} {
		t.Run(name, func(t *testing.T) {
			h := loadHost(t, "ok").with(map[string]string{"/proc/self/cgroup": "0::/\n", c.file: c.content})
			n, err := planFor(h, DoctorOptions{Connections: 10_000, AcceptRate: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range runChecks(h, n) {
				switch {
				case f.Name != c.check && f.Verdict != verdictOK:
					t.Errorf("another check changed: %s", f)
				case f.Name == c.check && (f.Verdict != c.want || !strings.Contains(f.String(), c.says)):
					t.Errorf("%s\nwant %s: … %s", f, c.want, c.says)
				case f.Verdict != verdictOK && (f.Consequence == "" || f.Command == ""):
					t.Errorf("a verdict without consequence or command: %s", f)
				}
			}
		})
	}
}

func TestDoctorRefusesSenselessPlans(t *testing.T) {
	for _, n := range []int{-1, maxConnections + 1} {
		var out bytes.Buffer
		if exit := doctor(loadHost(t, "ok"), DoctorOptions{Connections: n}, &out); exit != 2 {
			t.Errorf("%d connections: exit %d, output %q", n, exit, out.String())
		}
	}
}

func TestDoctorRunsOnThisHost(t *testing.T) {
	var out bytes.Buffer
	exit := Doctor(DoctorOptions{Connections: 1000, AcceptRate: 100}, &out)
	if exit < 0 || exit > 2 || !strings.Contains(out.String(), "verdict: ") {
		t.Errorf("exit %d:\n%s", exit, out.String())
	}
}

func TestTCPMemStaysWithinAQuarterOfRAM(t *testing.T) {
	for name, c := range map[string]struct {
		connections, ram uint64
		want             [3]uint64
	}{
		"a million on 64 GiB":     {1_000_000, 64 << 30, [3]uint64{1048576, 1572864, 2097152}},
		"a million on 8 GiB":      {1_000_000, 8 << 30, [3]uint64{262144, 393216, 524288}},
		"RAM unknown":             {1_000_000, 0, [3]uint64{1048576, 1572864, 2097152}},
		"few connections":         {1, 64 << 30, [3]uint64{65536, 98304, 131072}},
		"few on a tiny host":      {1, 256 << 20, [3]uint64{8192, 12288, 16384}},
		"ten million on 256 GiB":  {10_000_000, 256 << 30, [3]uint64{8388608, 12582912, 16777216}},
		"exactly a step":          {131072, 64 << 30, [3]uint64{131072, 196608, 262144}},
		"one more than the steps": {131073, 64 << 30, [3]uint64{196608, 294912, 393216}},
	} {
		t.Run(name, func(t *testing.T) {
			got := need{connections: c.connections, ram: c.ram, pageSize: 4096}.tcpMem()
			if got != c.want {
				t.Errorf("tcpMem() = %v, want %v", got, c.want)
			}
		})
	}
}
