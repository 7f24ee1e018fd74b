package oracle

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// logDir is where a server keeps its log.
func logDir(e *hftest.Edge) string { return filepath.Join(e.DataDir(), "log") }

// checkDir has `holdfast log check` look at the log of a server that is not running.
func checkDir(t testing.TB, e *hftest.Edge) {
	t.Helper()
	out, err := exec.Command(hftest.Program(), "log", "check", logDir(e)).CombinedOutput()
	if err == nil {
		return
	}
	if !strings.Contains(string(out), "unexpected argument") {
		t.Errorf("holdfast log check: %v\n%s", err, out)
		return
	}
	// This build has no such command: its main part.
	report, err := segment.Check(filepath.Join(logDir(e), "segments"))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Errorf("check: %v", err)
	}
	for _, f := range report.Files {
		if f.Err != nil || f.Holes > 0 {
			t.Errorf("check: %s: %d holes, %v", f.Name, f.Holes, f.Err)
		}
	}
	if len(report.SetAside) > 0 {
		t.Errorf("check: set aside: %v", report.SetAside)
	}
}
