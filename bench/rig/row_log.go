package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxLogRuns   = 3                // kept runs: each fills a log of a million events first
	benchTimeout = 10 * time.Minute // of one go test
)

// errNoBenchmark: the tree has no Go benchmark for a row.
var errNoBenchmark = errors.New("rig: no benchmark of this name in persist")

// logBenchmarks run in the log's packages; the patterns below tell which row a line of their output belongs to.
const logBenchmarks = `(?i)^Benchmark(Durable(Appends?)?|.*Replay.*|.*Bolt.*)$`

// logRow is how one row of the group "log" is read out of the output of go test -bench.
type logRow struct {
	row      string
	name     *regexp.Regexp        // the benchmark's name without its -N
	metrics  []string              // units, by preference
	figure   func(float64) float64 // from ns/op, when it has none of these; nil: it must have one
	optional bool                  // the row stays empty when there is no such benchmark
}

var logRows = []logRow{
	{"log-append", regexp.MustCompile(`(?i)^Benchmark\w*Durable(Appends?)?$`), []string{"events/s", "appends/s"}, perSecond, false},
	{"log-cold", regexp.MustCompile(`(?i)^Benchmark\w*Replay.*Cold`), []string{"µs/replay", "us/replay"}, microseconds, false},
	{"log-hot", regexp.MustCompile(`(?i)^Benchmark\w*Replay.*Hot`), []string{"µs/replay", "us/replay"}, microseconds, false},
	{"log-bolt", regexp.MustCompile(`(?i)^Benchmark.*Bolt`), []string{"events/s", "appends/s"}, nil, true},
}

func perSecond(ns float64) float64 { return 1e9 / ns }

func microseconds(ns float64) float64 { return ns / 1e3 }

// measureLog gives the rows of the group "log" from the Go benchmarks of persist and its packages. They run in a process
// of their own, without a server, on both CPUs.
func measureLog(b *bench, _ target) (map[string]sample, error) {
	text, err := b.goBench()
	if err != nil {
		return nil, err
	}
	return readLogRows(parseBenchmarks(text)), nil
}

// goBench runs the benchmarks and returns what they printed.
func (b *bench) goBench() (string, error) {
	ctx, cancel := context.WithTimeout(b.ctx, benchTimeout)
	defer cancel()
	args := []string{"test", "-run", "^$", "-bench", logBenchmarks, "-timeout", benchTimeout.String()}
	if b.plan.Quick {
		args = append(args, "-benchtime", "100ms")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./persist", "./persist/...")...)
	cmd.Dir, cmd.Env = b.plan.root, cleanEnvironment(os.Environ())
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := setAffinity(b.cpus.server, b.cpus.client); err != nil {
		return "", err
	}
	err := cmd.Start()
	if back := setAffinity(b.cpus.client); err == nil {
		err = back
	}
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("go test -bench in persist: %w\n%.1000s%.1000s", err, errOut.String(), lastPart(out.String(), 1000))
	}
	return out.String(), nil
}

func lastPart(s string, bytes int) string { return s[max(0, len(s)-bytes):] }

// benchmark is one line of go test -bench.
type benchmark struct {
	name  string             // without -N, the GOMAXPROCS
	units map[string]float64 // ns/op and others
}

var benchmarkLine = regexp.MustCompile(`^(Benchmark\S*?)(?:-\d+)?\s+\d+\s+(.*)$`)

// parseBenchmarks reads the lines that hold results.
func parseBenchmarks(text string) []benchmark {
	var out []benchmark
	for line := range strings.Lines(text) {
		m := benchmarkLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		one := benchmark{name: m[1], units: map[string]float64{}}
		fields := strings.Fields(m[2])
		for i := 0; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				break
			}
			one.units[fields[i+1]] = v
		}
		if len(one.units) > 0 {
			out = append(out, one)
		}
	}
	return out
}

// readLogRows finds each row's figure. Of several benchmarks of a row the first one counts.
func readLogRows(all []benchmark) map[string]sample {
	out := map[string]sample{}
	for _, r := range logRows {
		i := slices.IndexFunc(all, func(one benchmark) bool { return r.name.MatchString(one.name) })
		if i < 0 {
			if !r.optional {
				out[r.row] = sample{missing: fmt.Errorf("%w: %s", errNoBenchmark, r.name)}
			}
			continue
		}
		v, ok := r.value(all[i])
		if !ok {
			out[r.row] = sample{missing: fmt.Errorf("%s: none of %v in %v", all[i].name, r.metrics, all[i].units)}
			continue
		}
		out[r.row] = sample{Value: v, Detail: all[i].units}
	}
	return out
}

func (r logRow) value(one benchmark) (float64, bool) {
	for _, unit := range r.metrics {
		if v, ok := one.units[unit]; ok {
			return v, true
		}
	}
	ns, ok := one.units["ns/op"]
	if !ok || ns <= 0 || r.figure == nil {
		return 0, false
	}
	return r.figure(ns), true
}
