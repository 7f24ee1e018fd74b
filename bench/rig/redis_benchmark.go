package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errBenchmark: redis-benchmark, or what it is given, is not as it must be.
var errBenchmark = errors.New("rig: redis-benchmark")

func findBenchmark() (string, error) {
	path, err := exec.LookPath("redis-benchmark")
	if err != nil {
		return "", fmt.Errorf("%w: redis-benchmark is the yardstick. Debian: apt-get install redis-tools (%w)", errRefused, err)
	}
	return path, nil
}

// publishCall is the command by which a node published one event: EVALSHA, the script's name, its keys and arguments.
type publishCall []string

// envelope is what the node sealed: the last argument.
func (c publishCall) envelope() string { return c[len(c)-1] }

// head is the key that counts the channel's events: the first.
func (c publishCall) head() string { return c[3] }

// channel is the pub/sub channel, in front of the digits of the events.
func (c publishCall) channel() string { return c[len(c)-3] }

// ready is the same call as redis-benchmark can make it. What it is given goes through its command line, so the envelope
// becomes as many other bytes: Redis looks at none of them.
func (c publishCall) ready() []string {
	out := append([]string(nil), c...)
	out[len(out)-1] = strings.Repeat("x", len(c.envelope()))
	return out
}

// capture publishes by work and returns the call that a node made for the channel, as MONITOR shows it. The call is not
// put together here: that would be right only as long as nobody changes the script.
func capture(redis *server, channel string, work func() error) (publishCall, error) {
	r, err := redis.dialRedis()
	if err != nil {
		return nil, err
	}
	defer r.close() // which ends MONITOR
	if _, err := r.do("MONITOR"); err != nil {
		return nil, err
	}
	if err := work(); err != nil {
		return nil, err
	}
	r.conn.SetDeadline(time.Now().Add(redisTimeout)) // other commands come all the time
	for {
		line, err := r.reply()
		if err != nil {
			return nil, fmt.Errorf("no EVALSHA for %s: %w", channel, err)
		}
		text, _ := line.(string)
		words, err := parseMonitor(text)
		if err != nil {
			return nil, err
		}
		if len(words) > 5 && strings.EqualFold(words[0], "EVALSHA") && strings.Contains(words[3], channel) {
			return words, nil
		}
	}
}

// parseMonitor takes a line of MONITOR apart: a time, where the command came from, and its words in quotes.
func parseMonitor(line string) (words []string, err error) {
	_, rest, ok := strings.Cut(line, "] ")
	if !ok {
		return nil, fmt.Errorf("%w: MONITOR: %.200q", errReply, line)
	}
	for rest != "" {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, fmt.Errorf("%w: MONITOR: %.200q", errReply, rest)
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("%w: MONITOR: %.200q", errReply, quoted)
		}
		words = append(words, word)
		rest = strings.TrimPrefix(rest[len(quoted):], " ")
	}
	return words, nil
}

// runBenchmark runs redis-benchmark on this process's CPU: so many calls, by some clients that have a few under way each.
// It returns how many a second there were, by its own clock.
func runBenchmark(ctx context.Context, redis *server, call []string, calls, clients, pipeline int) (perSecond float64, err error) {
	path, err := findBenchmark()
	if err != nil {
		return 0, err
	}
	args := append([]string{"-h", "127.0.0.1", "-p", fmt.Sprint(redis.port), "-n", fmt.Sprint(calls), "-c", fmt.Sprint(clients), "-P", fmt.Sprint(pipeline), "--csv"}, call...)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%w: %w: %.300s", errBenchmark, err, errs.String())
	}
	return parseBenchmark(&out)
}

// parseBenchmark reads the table that it prints with --csv: a line of titles, a line of figures.
func parseBenchmark(out io.Reader) (perSecond float64, err error) {
	table, err := csv.NewReader(out).ReadAll()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errBenchmark, err)
	}
	if len(table) != 2 || len(table[0]) < 2 || table[0][1] != "rps" {
		return 0, fmt.Errorf("%w: it printed %.300q", errBenchmark, table)
	}
	if perSecond, err = strconv.ParseFloat(table[1][1], 64); err != nil || math.IsInf(perSecond, 0) || perSecond <= 0 {
		return 0, fmt.Errorf("%w: %s calls a second: too few for its clock? (%w)", errBenchmark, table[1][1], err)
	}
	return perSecond, nil
}
