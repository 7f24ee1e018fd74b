package tuning

import (
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// procFiles serves testdata/NAME in place of /proc.
func procFiles(dir string) func(string) ([]byte, error) {
	return func(p string) ([]byte, error) {
		return os.ReadFile(filepath.Join("testdata", dir, strings.TrimPrefix(p, "/proc/")))
	}
}

// gathered lists the samples of a collector as name{label="v"} value.
func gathered(t *testing.T, c prometheus.Collector) []string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += "{" + l.GetName() + "=" + l.GetValue() + "}"
			}
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			lines = append(lines, f.GetName()+labels+" "+showCount(v))
		}
	}
	sort.Strings(lines)
	return lines
}

func showCount(v float64) string { return joinNumbers([]uint64{uint64(v)}) }

func collectorOn(readFile func(string) ([]byte, error)) *kernelCollector {
	d := descriptorCount{size: func() (int64, error) { return 1234, nil }}
	return newKernelCollector(KernelSources{ReadFile: readFile, DescriptorLimit: 20000}, d)
}

func TestKernelMetrics(t *testing.T) {
	got := gathered(t, collectorOn(procFiles("proc_open")))
	want := []string{
		"holdfast_fds 1234",
		"holdfast_fds_max 20000",
		"holdfast_kernel_listen_overflows_total 17",
		"holdfast_kernel_tcp_mem_pages{level=high} 575796",
		"holdfast_kernel_tcp_mem_pages{level=low} 287898",
		"holdfast_kernel_tcp_mem_pages{level=pressure} 383865",
		"holdfast_kernel_tcp_mem_pages{level=used} 3",
		"holdfast_kernel_tcp_retrans_segs_total 41",
		"holdfast_kernel_tcp_sockets{kind=alloc} 30",
		"holdfast_kernel_tcp_sockets{kind=inuse} 31",
		"holdfast_kernel_tcp_sockets{kind=orphan} 2",
		"holdfast_kernel_tcp_sockets{kind=tw} 12",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("samples:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What cannot be read is left out: a 0 would look like a measurement.
func TestKernelMetricsLeaveOutWhatIsHidden(t *testing.T) {
	for name, c := range map[string]struct {
		hide   []string
		absent string
		count  int
	}{
		"nothing readable":        {[]string{""}, "kernel", 2},
		"/proc/sys hidden":        {[]string{"/proc/sys"}, "level=high", 9},
		"no IPv6":                 {[]string{"sockstat6"}, "kind=inuse} 31", 12},
		"netstat hidden":          {[]string{"netstat"}, "overflows", 11},
		"snmp hidden":             {[]string{"snmp"}, "retrans", 11},
		"sockstat hidden":         {[]string{"sockstat"}, "tcp_sockets{kind=tw}", 7},
		"everything but /proc/sy": {[]string{"/proc/self"}, "sockets", 5},
	} {
		t.Run(name, func(t *testing.T) {
			open := procFiles("proc_open")
			got := gathered(t, collectorOn(func(p string) ([]byte, error) {
				for _, h := range c.hide {
					if strings.Contains(p, h) && !(h == "sockstat" && strings.HasSuffix(p, "6")) {
						return nil, os.ErrPermission
					}
				}
				return open(p)
			}))
			if all := strings.Join(got, "\n"); strings.Contains(all, c.absent) || len(got) != c.count {
				t.Errorf("%d samples, want %d and none with %q:\n%s", len(got), c.count, c.absent, all)
			}
		})
	}
}

func TestPairedValueTrustsNoShape(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want uint64
		ok   bool
	}{
		"plain":                {"TcpExt: A B\nTcpExt: 1 2\n", 2, true},
		"among other prefixes": {"IpExt: B\nIpExt: 9\nTcpExt: A B\nTcpExt: 1 2\n", 2, true},
		"name missing":         {"TcpExt: A C\nTcpExt: 1 2\n", 0, false},
		"value line missing":   {"TcpExt: A B\n", 0, false},
		"value line short":     {"TcpExt: A B\nTcpExt: 1\n", 0, false},
		"value negative":       {"TcpExt: A B\nTcpExt: 1 -2\n", 0, false},
		"prefix elsewhere":     {"X TcpExt: B\nX TcpExt: 1\n", 0, false},
		"empty":                {"", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := pairedValue([]byte(c.text), "TcpExt:", "B"); got != c.want || ok != c.ok {
				t.Errorf("pairedValue = %d, %v; want %d, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func TestDescriptorCount(t *testing.T) {
	failing := func() (int, error) { return 0, errors.New("no /proc") }
	t.Run("the size of the folder is the number", func(t *testing.T) {
		size := int64(5)
		d, err := newDescriptorCount(func() (int64, error) { return size, nil }, failing, nil)
		if err != nil {
			t.Fatal(err)
		}
		if size = 9; d.now() != 9 {
			t.Errorf("now() = %d, want 9", d.now())
		}
	})
	t.Run("an old kernel answers with the start plus sockets", func(t *testing.T) {
		sockets := 0
		d, err := newDescriptorCount(func() (int64, error) { return 0, nil },
			func() (int, error) { return 11, nil }, func() int { return sockets })
		if err != nil {
			t.Fatal(err)
		}
		if sockets = 1000; d.now() != 1011 {
			t.Errorf("now() = %d, want 1011", d.now())
		}
	})
	t.Run("neither is an error", func(t *testing.T) {
		if _, err := newDescriptorCount(func() (int64, error) { return 0, os.ErrPermission }, failing, nil); err == nil {
			t.Error("no error")
		}
	})
}

func TestLiveKernelCollectorFollowsDescriptors(t *testing.T) {
	sockets := 0
	c, err := NewKernelCollector(KernelSources{ReadFile: os.ReadFile, DescriptorLimit: 64, Sockets: func() int { return sockets }})
	if err != nil {
		t.Fatal(err)
	}
	count := c.(*kernelCollector).descriptors.now
	before := count()
	var open []*os.File
	for range 20 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, f)
		sockets++
	}
	if after := count(); after < before+20 {
		t.Errorf("%d descriptors after opening 20, %d before", after, before)
	}
	for _, f := range open {
		f.Close()
	}
	if all := strings.Join(gathered(t, c), "\n"); !strings.Contains(all, "kernel_tcp_sockets") {
		t.Errorf("nothing about TCP on this host:\n%s", all)
	}
}

func FuzzKernelFiles(f *testing.F) {
	for _, name := range []string{"netstat", "snmp", "sockstat"} {
		b, err := procFiles("proc_open")("/proc/self/net/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k := readKernel(func(string) ([]byte, error) { return b, nil })
		if len(k.tcpMem) > 4 || len(k.sockets) > 4 {
			t.Errorf("labels outside the closed sets: %v %v", k.tcpMem, k.sockets)
		}
	})
}
