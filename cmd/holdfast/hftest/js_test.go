package hftest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nodePatience bounds one run of node.
const nodePatience = 4 * time.Minute

// recoveryDir is the plug-in for pusher-js.
const recoveryDir = "../../../client/recovery"

// TestStockClients runs the files of js/test, each with Node's test runner:
// pusher-js, laravel-echo and the pusher server SDK, as published, against the
// program. Every file starts servers of its own.
func TestStockClients(t *testing.T) {
	files, err := filepath.Glob("js/test/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in js/test: %v", err)
	}
	for _, file := range files {
		if raceEnabled && strings.HasPrefix(filepath.Base(file), "recovery_") {
			continue // the plug-in's: a minute of waiting. The oracle recovers under the detector
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			runNode(t, "js", []string{binEnv + "=" + os.Getenv(binEnv)},
				"--test", "--test-reporter=spec", filepath.Join("test", filepath.Base(file)))
		})
	}
}

// TestRecoveryInChromium runs the plug-in's own script of a page, which it also runs
// against a server of its own, against the program.
func TestRecoveryInChromium(t *testing.T) {
	edge := Start(t, Options{})
	runNode(t, recoveryDir, []string{"HOLDFAST_ADDR=" + edge.Addr}, "browser/run.mjs")
}

// runNode runs node in a folder with packages of its own.
func runNode(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is missing. Run: make deps")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/pusher-js")); err != nil {
		t.Fatal("the stock clients are missing. Run: make deps")
	}
	ctx, cancel := context.WithTimeout(context.Background(), nodePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, args...)
	cmd.Dir = dir
	cmd.Env = append(cleanEnv(), env...)
	// A process group of its own, so that servers of a run that was cut short end with
	// it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // mostly nobody is left
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else {
		t.Logf("\n%s", out)
	}
}
