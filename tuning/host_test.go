package tuning

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// loadHost reads a machine from testdata/doctor/NAME.host: sections headed by
// "== PATH" with the content of that file, and "== ram" with bytes.
func loadHost(t *testing.T, name string) host {
	t.Helper()
	b, err := os.ReadFile("testdata/doctor/" + name + ".host")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for section := range strings.SplitSeq("\n"+string(b), "\n== ") {
		if head, body, ok := strings.Cut(section, "\n"); ok {
			files[head] = body + "\n"
		}
	}
	ram, err := strconv.ParseUint(strings.TrimSpace(files["ram"]), 10, 64)
	if err != nil {
		t.Fatalf("%s: ram: %v", name, err)
	}
	return hostOf(files, ram)
}

// hostOf is a machine that consists of the given files.
func hostOf(files map[string]string, ram uint64) host {
	return host{
		readFile: func(p string) ([]byte, error) {
			content, ok := files[p]
			if !ok {
				return nil, fs.ErrNotExist
			}
			return []byte(content), nil
		},
		readDir: func(dir string) ([]string, error) {
			var names []string
			for p := range files {
				if path.Dir(p) == dir {
					names = append(names, path.Base(p))
				}
			}
			slices.SortFunc(names, func(a, b string) int { return strings.Compare(b, a) })
			return names, nil
		},
		ram:      func() uint64 { return ram },
		pageSize: 4096,
	}
}

// with returns the machine with some files replaced; "" removes a file.
func (h host) with(changes map[string]string) host {
	below := h.readFile
	h.readFile = func(p string) ([]byte, error) {
		if content, ok := changes[p]; ok {
			if content == "" {
				return nil, fs.ErrNotExist
			}
			return []byte(content), nil
		}
		return below(p)
	}
	return h
}

func TestContainerIsRecognisedByAnyMark(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"plain host":             {map[string]string{"/proc/1/cgroup": "0::/init.scope\n", "/proc/1/environ": "TERM=linux\x00"}, ""},
		"nothing readable":       {nil, ""},
		"docker":                 {map[string]string{"/.dockerenv": "x"}, "docker"},
		"podman":                 {map[string]string{"/run/.containerenv": "engine=podman\n"}, "podman"},
		"systemd names it":       {map[string]string{"/run/systemd/container": "systemd-nspawn\n"}, "systemd-nspawn"},
		"environment of init":    {map[string]string{"/proc/1/environ": "A=1\x00container=lxc\x00"}, "lxc"},
		"kubernetes cgroup":      {map[string]string{"/proc/1/cgroup": "0::/kubepods/besteffort/pod1/abc\n"}, "kubepods"},
		"empty files still mark": {map[string]string{"/.dockerenv": ""}, "docker"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := hostOf(c.files, 0).container(); got != c.want {
				t.Errorf("container() = %q, want %q", got, c.want)
			}
		})
	}
}

func TestMemoryCeilingIsTheSmallestThatBinds(t *testing.T) {
	const v2 = "0::/system.slice/holdfast.service\n"
	const v1 = "9:name=systemd:/x\n4:cpu,cpuacct:/x\n3:memory:/docker/abc\n"
	unit := "/sys/fs/cgroup/system.slice/holdfast.service/memory.max"
	slice := "/sys/fs/cgroup/system.slice/memory.max"
	for name, c := range map[string]struct {
		files  map[string]string
		ram    uint64
		want   uint64
		source string
	}{
		"no cgroup file":              {nil, 8 << 30, 8 << 30, "RAM"},
		"v2 without a limit":          {map[string]string{"/proc/self/cgroup": v2, unit: "max\n"}, 8 << 30, 8 << 30, "RAM"},
		"v2 limit":                    {map[string]string{"/proc/self/cgroup": v2, unit: "1073741824\n"}, 8 << 30, 1 << 30, unit},
		"v2 parent is tighter":        {map[string]string{"/proc/self/cgroup": v2, unit: "2147483648\n", slice: "1073741824\n"}, 8 << 30, 1 << 30, slice},
		"v2 limit above RAM":          {map[string]string{"/proc/self/cgroup": v2, unit: "17179869184\n"}, 8 << 30, 8 << 30, "RAM"},
		"v2 in a namespace":           {map[string]string{"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "536870912\n"}, 8 << 30, 512 << 20, "/sys/fs/cgroup/memory.max"},
		"v1 limit":                    {map[string]string{"/proc/self/cgroup": v1, "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "1073741824\n"}, 8 << 30, 1 << 30, "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes"},
		"v1 seen from the container":  {map[string]string{"/proc/self/cgroup": v1, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, 8 << 30, 1 << 30, "/sys/fs/cgroup/memory/memory.limit_in_bytes"},
		"v1 none is a huge number":    {map[string]string{"/proc/self/cgroup": v1, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8 << 30, 8 << 30, "RAM"},
		"both, hybrid":                {map[string]string{"/proc/self/cgroup": "0::/\n" + v1, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, 8 << 30, 1 << 30, "/sys/fs/cgroup/memory/memory.limit_in_bytes"},
		"garbage is passed over":      {map[string]string{"/proc/self/cgroup": "nonsense\n" + v2, unit: "many\n"}, 8 << 30, 8 << 30, "RAM"},
		"RAM unknown, limit known":    {map[string]string{"/proc/self/cgroup": v2, unit: "1073741824\n"}, 0, 1 << 30, unit},
		"nothing is known":            {nil, 0, 0, "RAM"},
		"zero is no limit we believe": {map[string]string{"/proc/self/cgroup": v2, unit: "0\n"}, 8 << 30, 8 << 30, "RAM"},
	} {
		t.Run(name, func(t *testing.T) {
			got, source := hostOf(c.files, c.ram).memoryCeiling()
			if got != c.want || source != c.source {
				t.Errorf("memoryCeiling() = %d by %q, want %d by %q", got, source, c.want, c.source)
			}
		})
	}
}

func TestLiveHostIsReadable(t *testing.T) {
	h := liveHost()
	soft, hard, err := h.nofile()
	if err != nil || soft == 0 || hard < soft {
		t.Errorf("nofile() = %d, %d, %v", soft, hard, err)
	}
	if h.ram() < 64<<20 {
		t.Errorf("ram() = %d bytes", h.ram())
	}
	if v, ok := h.sysctlOne("fs.nr_open"); !ok || v == 0 {
		t.Errorf("fs.nr_open = %d, %v", v, ok)
	}
	names, err := h.readDir("/proc/self/net")
	if err != nil || !slices.Contains(names, "sockstat") {
		t.Errorf("readDir(/proc/self/net) = %v, %v", names, err)
	}
}

func FuzzLimitsFile(f *testing.F) {
	for _, name := range []string{"ok", "unknown"} {
		b, err := os.ReadFile("testdata/doctor/" + name + ".host")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := hostOf(map[string]string{"/proc/self/limits": string(b)}, 0)
		if _, _, err := h.nofile(); err == nil && !strings.Contains(string(b), "Max open files") {
			t.Error("limits were read from a file without the row")
		}
	})
}
