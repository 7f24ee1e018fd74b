package hftest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestStockClients runs the files of js/test, each with Node's test runner:
// pusher-js, laravel-echo and the pusher server SDK, as published, against the
// program. Every file starts servers of its own.
func TestStockClients(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is missing. Run: make deps")
	}
	if _, err := os.Stat("js/node_modules/pusher-js"); err != nil {
		t.Fatal("the stock clients are missing. Run: make deps")
	}
	files, err := filepath.Glob("js/test/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in js/test: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec", filepath.Join("test", filepath.Base(file)))
			cmd.Dir = "js"
			cmd.Env = append(cleanEnv(), binEnv+"="+os.Getenv(binEnv))
			// A process group of its own, so that servers of a run that was cut short
			// end with it.
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
		})
	}
}
