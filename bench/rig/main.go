package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

// Exit codes of the rig.
const (
	exitPass   = 0
	exitFail   = 1 // a bar was missed, or a run failed
	exitRefuse = 2 // bad usage, or a machine on which the figures would be worth nothing
)

// errRefused wraps what makes a measurement pointless before it starts.
var errRefused = errors.New("rig: refused")

const usage = `usage: rig COMMAND [flags]        (run from the repository; rig COMMAND -h lists the flags)
  all       every row of the table, floor and holdfast in turn
  exact     each of N clients must receive M messages exactly once, in order; prints JSON
  storm     N clients connect and subscribe at once, several rounds; prints JSON
  recover   N clients are cut off, miss M events and come back at once; others must not notice; prints JSON
  streams   event streams and waiting polls: goroutines, memory, one event to all; prints JSON
  returns   N clients send and get 1 MB each: is the memory given back; prints JSON
  stuck     some of N subscribers stop reading: what that costs in memory, and the others; prints JSON
  fair      one client sends without end beside a large channel: quiet channels must not notice; prints JSON
  churn     connects and closes of every kind for half an hour: does anything stay behind; prints JSON
  curves    cost against connections, channels, subscribers and message size; writes SVG files, prints JSON
  pauses    stops of the world under a mixed load, by the collector's own account; prints JSON
  collector what GOGC costs and saves with a million channels, by the collector's own account; prints JSON
  cluster   two nodes and their Redis: delivery, publishes a second, memory, a cut connection, a Redis that stands still
  profile   a CPU profile of holdfast under the load of one row
`

func main() {
	// The main goroutine stays on the main thread: servers are started from it, and PR_SET_PDEATHSIG, which makes them
	// die with the rig, is tied to the thread that started them.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, out, progress io.Writer) int {
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) (bool, error){
		"all": runAll, "exact": runExact, "storm": runStorm, "profile": runProfile, "recover": runRecover, "streams": runStreams,
		"returns": runReturns, "stuck": runStuck, "fair": runFair, "churn": runChurn, "curves": runCurves, "pauses": runPauses,
		"collector": runCollector, "cluster": runCluster,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(progress, usage)
		return exitRefuse
	}
	// The client allocates almost nothing while it measures; a collection in the middle of a broadcast would show as
	// latency of the server. The limit is a safety net.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)

	pass, err := commands[args[0]](ctx, args[1:], out, progress)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitPass
	case errors.Is(err, errRefused):
		fmt.Fprintln(progress, err)
		return exitRefuse
	case err != nil:
		fmt.Fprintln(progress, "rig:", err)
		return exitFail
	case !pass:
		return exitFail
	}
	return exitPass
}
