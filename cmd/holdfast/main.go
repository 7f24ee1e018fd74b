package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func main() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

// Exit codes of every command but doctor, which has its own.
const (
	exitOK      = 0
	exitFailure = 1 // it was tried and went wrong
	exitUsage   = 2 // the command line or the configuration has a fault
)

// process is what a command gets from the world around it; tests give another.
type process struct {
	env []string
	in  io.Reader
	out io.Writer
	err io.Writer
	now func() time.Time
	// signals delivers SIGINT, SIGTERM and SIGHUP until stop is called.
	signals func() (c <-chan os.Signal, stop func())
	// newRuntime builds the server behind serve.
	newRuntime func(runtimeDeps) (Runtime, error)
}

// run is the whole program; its result is the exit code.
func run(args, env []string, out, err io.Writer) int {
	return dispatch(args, &process{
		env:        env,
		in:         os.Stdin,
		out:        out,
		err:        err,
		now:        time.Now,
		signals:    processSignals,
		newRuntime: newRuntime,
	})
}

func processSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}
