package tuning

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keysAt is a host where each key of the plan has the given value.
func keysAt(n need, value func(s setting) string) map[string]string {
	files := make(map[string]string)
	for _, s := range n.settings() {
		files["/proc/sys/"+strings.ReplaceAll(s.key, ".", "/")] = value(s) + "\n"
	}
	return files
}

func repeat(v string, n int) string { return strings.TrimSpace(strings.Repeat(v+" ", n)) }

func testNeed(connections uint64) need {
	return need{connections: connections, acceptRate: defaultAcceptRate, ram: 64 << 30, pageSize: 4096}
}

// active returns the file's settings that are not comments.
func active(t *testing.T, file []byte) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, " = ")
		if !ok || strings.Contains(value, "#") {
			t.Fatalf("a line that sysctl.d cannot read: %q", line)
		}
		out[strings.TrimPrefix(key, "-")] = value
	}
	return out
}

func TestSysctlFileNeverLowersALiveAmount(t *testing.T) {
	n := testNeed(1_000_000)
	h := hostOf(keysAt(n, func(s setting) string { return repeat("9223372036854775807", len(s.want)) }), n.ram)
	for key, value := range active(t, sysctlFile(h, n)) {
		for _, s := range n.settings() {
			if s.key == key && s.kind != kindChoice && value != repeat("9223372036854775807", len(s.want)) {
				t.Errorf("%s = %s lowers the live value", key, value)
			}
		}
	}
}

func TestSysctlFileRaisesWhatIsTooSmall(t *testing.T) {
	n := testNeed(1_000_000)
	h := hostOf(keysAt(n, func(s setting) string { return repeat("0", len(s.want)) }), n.ram)
	got := active(t, sysctlFile(h, n))
	for _, s := range n.settings() {
		if got[s.key] != joinNumbers(s.want) {
			t.Errorf("%s = %q, want %q", s.key, got[s.key], joinNumbers(s.want))
		}
	}
}

func TestSysctlLine(t *testing.T) {
	for name, c := range map[string]struct {
		s    setting
		live []uint64
		want string
	}{
		"ceiling raised":           {setting{key: "a.b", want: []uint64{10}, why: "w"}, []uint64{5}, "# w\na.b = 10"},
		"ceiling kept":             {setting{key: "a.b", want: []uint64{10}, why: "w"}, []uint64{50}, "# w\na.b = 50"},
		"list kept part by part":   {setting{key: "a.b", want: []uint64{1, 20, 3}, why: "w"}, []uint64{10, 2, 30}, "# w\na.b = 10 20 30"},
		"limit that would lower":   {setting{key: "a.b", kind: kindLimit, want: []uint64{8}, why: "w"}, []uint64{15}, "# lowers the live 15, so it is yours to switch on: w\n#a.b = 8"},
		"limit already there":      {setting{key: "a.b", kind: kindLimit, want: []uint64{8}, why: "w"}, []uint64{8}, "# w\na.b = 8"},
		"choice switched off":      {setting{key: "a.b", kind: kindChoice, want: []uint64{0}, why: "w"}, []uint64{1}, "# w\na.b = 0"},
		"key of newer kernels":     {setting{key: "a.b", kind: kindChoice, want: []uint64{1}, why: "w", optional: true}, []uint64{0}, "# w\n-a.b = 1"},
		"key that is not there":    {setting{key: "a.b", want: []uint64{1}, why: "w"}, nil, "# a.b is not known here   # w"},
		"key of another dimension": {setting{key: "a.b", want: []uint64{1, 2, 3}, why: "w"}, []uint64{1}, "# a.b is not known here   # w"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.s.line(c.live); got != c.want {
				t.Errorf("line = %q, want %q", got, c.want)
			}
		})
	}
}

func TestDoctorWritesTheSysctlFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "90-holdfast.conf")
	h := loadHost(t, "ok")
	for _, round := range []string{"first", "again, over its own file"} {
		var out bytes.Buffer
		if exit := doctor(h, DoctorOptions{WriteSysctl: path}, &out); exit != 0 {
			t.Fatalf("%s: exit %d\n%s", round, exit, out.String())
		}
		if !strings.Contains(out.String(), "ok: wrote "+path) {
			t.Errorf("%s: output does not name the file:\n%s", round, out.String())
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := active(t, b)["fs.nr_open"]; got != "2097152" {
		t.Errorf("fs.nr_open = %q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("%d files beside ours: a temporary one was left", len(names)-1)
	}
}

func TestDoctorRefusesToWrite(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "99-site.conf")
	if err := os.WriteFile(foreign, []byte("fs.nr_open = 5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	docker := map[string]string{"/.dockerenv": "x"}
	for name, c := range map[string]struct {
		host host
		path string
		want error
	}{
		"inside a container":     {loadHost(t, "ok").with(docker), filepath.Join(dir, "a.conf"), ErrContainer},
		"over a foreign file":    {loadHost(t, "ok"), foreign, ErrForeignFile},
		"into a missing folder":  {loadHost(t, "ok"), filepath.Join(dir, "no", "a.conf"), os.ErrNotExist},
		"over a folder":          {loadHost(t, "ok"), dir, errors.New("is a directory")},
		"container wins over it": {loadHost(t, "ok").with(docker), foreign, ErrContainer},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if exit := doctor(c.host, DoctorOptions{WriteSysctl: c.path}, &out); exit != 2 {
				t.Errorf("exit %d, want 2", exit)
			}
			word := c.want.Error()
			if errors.Is(c.want, os.ErrNotExist) {
				word = "no such file"
			}
			if !strings.Contains(out.String(), word) || !strings.Contains(out.String(), "not written") {
				t.Errorf("output does not say %q:\n%s", word, out.String())
			}
		})
	}
	if b, _ := os.ReadFile(foreign); string(b) != "fs.nr_open = 5\n" {
		t.Errorf("the foreign file was changed: %q", b)
	}
}

func TestDoctorNamesFilesThatWinLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "90-holdfast.conf")
	h := loadHost(t, "ok")
	files := map[string]string{
		"/etc/sysctl.d/99-sysctl.conf":       "# net.core.somaxconn = 1\n; fs.nr_open=1\nnet.core.somaxconn=128\nkernel.panic = 1\n",
		"/usr/lib/sysctl.d/95-distro.conf":   "-net/ipv4/tcp_mem = 1 2 3\n",
		"/usr/lib/sysctl.d/50-default.conf":  "fs.nr_open = 1\n",      // earlier: ours wins
		"/usr/lib/sysctl.d/99-sysctl.conf":   "fs.file-max = 1\n",     // hidden by the one in /etc
		"/etc/sysctl.d/99-notes.txt":         "fs.nr_open = 1\n",      // no .conf
		"/run/sysctl.d/99-unrelated.conf":    "vm.swappiness = 10\n",  // not our key
		"/run/sysctl.d/99-without-equals.co": "net.core.somaxconn\n",  // no .conf
		"/run/sysctl.d/98-words.conf":        "net.core.somaxconn\n",  // no assignment
		"/etc/sysctl.d/90-holdfast.conf":     "net.core.somaxconn=1 ", // the file itself
	}
	fake := hostOf(files, 0)
	h.readDir = fake.readDir
	var out bytes.Buffer
	if exit := doctor(h.with(files), DoctorOptions{WriteSysctl: path}, &out); exit != 0 {
		t.Fatalf("exit %d", exit)
	}
	var notes []string
	for line := range strings.Lines(out.String()) {
		if note, ok := strings.CutPrefix(line, "warn: "); ok {
			notes = append(notes, strings.TrimSpace(note))
		}
	}
	want := []string{
		fmt.Sprintf("/etc/sysctl.d/99-sysctl.conf sets net.core.somaxconn later than %s and wins at boot. Run: grep -n net.core.somaxconn /etc/sysctl.d/99-sysctl.conf", path),
		fmt.Sprintf("/usr/lib/sysctl.d/95-distro.conf sets net.ipv4.tcp_mem later than %s and wins at boot. Run: grep -n net.ipv4.tcp_mem /usr/lib/sysctl.d/95-distro.conf", path),
	}
	if strings.Join(notes, "\n") != strings.Join(want, "\n") {
		t.Errorf("notes:\n%s\nwant:\n%s", strings.Join(notes, "\n"), strings.Join(want, "\n"))
	}
}

// The shipped file is the plan for a million connections on a host of 64 GiB.
// Two keys stand in it as comments: a fixed line would lower the larger value
// that systemd or the kernel has chosen there.
func TestShippedSysctlFileIsThePlan(t *testing.T) {
	b, err := os.ReadFile("../systemd/90-holdfast.conf")
	if err != nil {
		t.Fatal(err)
	}
	n := testNeed(1_000_000)
	got := active(t, b)
	for _, s := range n.settings() {
		if s.key == "fs.file-max" || s.key == "fs.epoll.max_user_watches" {
			if line := "\n#" + s.key + " = " + joinNumbers(s.want) + "\n"; !bytes.Contains(b, []byte(line)) {
				t.Errorf("the file lacks the comment %q", line)
			}
			continue
		}
		if got[s.key] != joinNumbers(s.want) {
			t.Errorf("%s = %q, the plan says %q", s.key, got[s.key], joinNumbers(s.want))
		}
		delete(got, s.key)
	}
	for key := range got {
		t.Errorf("%s stands in the file and not in the plan", key)
	}
}

func FuzzSysctlFileKeys(f *testing.F) {
	f.Add([]byte("# c\n-net/core/somaxconn = 1\nfs.nr_open=2\n; x = 3\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, key := range keysOf(b) {
			if strings.ContainsAny(key, "/\n=") {
				t.Errorf("key %q", key)
			}
		}
	})
}
