package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// maxExposure is the worst score that the unit may have, in tenths: 1.5 of 10.
const maxExposure = 15

// analyze runs systemd-analyze on a file. The tool is part of the test: where it
// is missing the test fails and says how to get it.
func analyze(t *testing.T, args ...string) (output string, ok bool) {
	t.Helper()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("systemd-analyze is missing. Run: make deps")
	}
	cmd := exec.Command(tool, args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=", "LC_ALL=C.UTF-8")
	b, err := cmd.CombinedOutput()
	return string(b), err == nil
}

// unitFor returns the path of a copy of the unit whose programs exist on this
// host, which verify insists on.
func unitFor(t *testing.T, replace ...string) string {
	t.Helper()
	b, err := os.ReadFile("holdfast.service")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(append(replace, "/usr/bin/holdfast", "/bin/true")...).Replace(string(b))
	path := filepath.Join(t.TempDir(), "holdfast.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnitExposure(t *testing.T) {
	out, ok := analyze(t, "security", "--offline=true", "--no-pager", "--threshold="+strconv.Itoa(maxExposure), "./holdfast.service")
	score := regexp.MustCompile(`Overall exposure level for holdfast.service: ([0-9]+)\.([0-9])`).FindStringSubmatch(out)
	if score == nil {
		t.Fatalf("no score in the output:\n%s", out)
	}
	tenths, err := strconv.Atoi(score[1] + score[2])
	if err != nil {
		t.Fatal(err)
	}
	if !ok || tenths > maxExposure {
		t.Errorf("exposure %s.%s, at most %d.%d:\n%s", score[1], score[2], maxExposure/10, maxExposure%10, out)
	}
	t.Logf("exposure %s.%s", score[1], score[2])
}

// The threshold bites: without the empty capability set the unit is refused.
func TestExposureThresholdBites(t *testing.T) {
	unit := unitFor(t, "CapabilityBoundingSet=\n", "", "PrivateUsers=yes\n", "", "SystemCallFilter", "#SystemCallFilter")
	if out, ok := analyze(t, "security", "--offline=true", "--no-pager", "--threshold="+strconv.Itoa(maxExposure), unit); ok {
		t.Errorf("a unit without its sandbox passed:\n%s", out)
	}
}

func TestUnitIsValid(t *testing.T) {
	out, ok := analyze(t, "verify", unitFor(t))
	if !ok || strings.Contains(out, "holdfast.service:") {
		t.Errorf("systemd-analyze verify:\n%s", out)
	}
	out, _ = analyze(t, "verify", unitFor(t, "WatchdogSec=", "WatchdogSeconds="))
	if !strings.Contains(out, "WatchdogSeconds") {
		t.Errorf("verify did not notice a misspelt setting:\n%s", out)
	}
}

// What the server relies on, beyond the score.
func TestUnitSettings(t *testing.T) {
	b, err := os.ReadFile("holdfast.service")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			got[key] = append(got[key], value)
		}
	}
	for key, want := range map[string][]string{
		"Type":           {"notify"},
		"NotifyAccess":   {"main"},
		"WatchdogSec":    {"30s"},
		"KillSignal":     {"SIGTERM"},
		"KillMode":       {"mixed"},
		"LimitNOFILE":    {"2097152"}, // = fs.nr_open of 90-holdfast.conf
		"DynamicUser":    {"yes"},
		"StateDirectory": {"holdfast"},
		"MemoryHigh":     {"infinity"},
		"ExecStartPre":   {"-+/usr/bin/holdfast doctor"},
		"ExecStart":      {"/usr/bin/holdfast serve --config ${CONFIGURATION_DIRECTORY}/holdfast.toml --data-dir ${STATE_DIRECTORY}"},
		// The check stands first: a failing ExecReload stops the ones after it.
		"ExecReload": {"/usr/bin/holdfast check-config --config ${CONFIGURATION_DIRECTORY}/holdfast.toml", "/bin/kill -HUP $MAINPID"},
	} {
		if !slices.Equal(got[key], want) {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
}
