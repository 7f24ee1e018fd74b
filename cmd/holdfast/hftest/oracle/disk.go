package oracle

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// logDir is where a server keeps its log.
func logDir(e *hftest.Edge) string { return filepath.Join(e.DataDir(), "log") }

// checkDir has `holdfast log check` look at the log of a server that is not running.
func checkDir(t testing.TB, e *hftest.Edge) {
	t.Helper()
	check := exec.Command(hftest.Program(), "log", "check", e.DataDir())
	check.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // the race detector waits for a second otherwise
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("holdfast log check: %v\n%s", err, out)
	}
}
