package hftest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-edge/holdfast/tuning/invariant"
)

// binEnv names the program under test, for a run against another build. Main
// sets it for the tests' child processes.
const binEnv = "HFTEST_BIN"

// Program is the path of the program under test.
func Program() string { return os.Getenv(binEnv) }

// Main builds the program, runs the tests of a package and removes the program
// again. TestMain calls it: os.Exit(hftest.Main(m)).
//
// A test binary made with -race or -tags invariants builds the program the same
// way, so that a race inside the server ends the server.
func Main(m *testing.M) int {
	if os.Getenv(binEnv) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "hftest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "holdfast")
	args := []string{"build", "-o", bin}
	if raceEnabled {
		args = append(args, "-race")
	}
	if invariant.On {
		args = append(args, "-tags", "invariants")
	}
	build := exec.Command("go", append(args, "github.com/holdfast-edge/holdfast/cmd/holdfast")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(binEnv, bin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
