package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// builds is where holdfastBinary builds.
var builds string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "holdfast-rig-test-")
	if err != nil {
		panic(err)
	}
	builds = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// holdfastBinary builds the tree's holdfast, once.
var holdfastBinary = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	path := filepath.Join(builds, "holdfast")
	return path, buildHoldfast(root, path)
})

// startHoldfast builds the tree's holdfast and gives a bench that measures it with small numbers.
func startHoldfast(t *testing.T) (*bench, target) {
	t.Helper()
	b, _ := startFloor(t)
	path, err := holdfastBinary()
	if err != nil {
		t.Fatal(err)
	}
	b.plan.HistorySubscribers, b.plan.Publishing, b.plan.PublishFor = 50, 8, 200*time.Millisecond
	return b, target{name: "holdfast", command: []string{path}, pusher: true}
}

// The floor is a fair yardstick only while its frames are as long as holdfast's.
func TestFloorSendsFramesOfHoldfastsLength(t *testing.T) {
	b, holdfast := startHoldfast(t)
	_, floor := startFloor(t)
	var success, message []int
	for _, at := range []target{floor, holdfast} {
		err := b.withCrowd(at, func(c *crowd) error {
			number, p, err := c.gather(b, 20)
			if err != nil {
				return err
			}
			success = append(success, c.success)
			for ; number <= 120; number++ { // past 100: seq has grown
				c.received, c.wireBytes = 0, 0
				if err := c.broadcast(p, number); err != nil {
					return err
				}
				if c.wireBytes != c.received*b.plan.FrameBytes {
					t.Errorf("%s: message %d has %d bytes, want %d", at.name, number, c.wireBytes/c.received, b.plan.FrameBytes)
				}
			}
			message = append(message, c.wireBytes/c.received)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if success[0] != success[1] || message[0] != message[1] {
		t.Errorf("success frames of floor and holdfast: %v bytes, messages: %v bytes", success, message)
	}
}

// The rows that only holdfast has give figures that can be true.
func TestOwnExperiments(t *testing.T) {
	b, holdfast := startHoldfast(t)
	b.plan.Rows = rowNames()
	within := map[string][2]float64{"history": {0.1, 10}, "idle": {-50_000, 50_000}, "durable": {1, 1e6}, "plain": {1, 1e6}}
	for _, e := range experiments {
		if e.only == nil || !e.only(holdfast) || within[e.rows[0]][1] == 0 {
			continue
		}
		samples, err := e.measure(b, holdfast)
		if err != nil {
			t.Fatalf("%s: %v", e.rows[0], err)
		}
		for _, name := range e.rows {
			if s, r := samples[name], within[name]; s.Value < r[0] || s.Value > r[1] || s.missing != nil {
				t.Errorf("%s = %v %v (%v)", name, s.Value, s.Detail, s.missing)
			}
		}
	}
}

func TestRecoverAgainstHoldfast(t *testing.T) {
	b, holdfast := startHoldfast(t)
	for _, p := range []recoverPlan{
		{clients: 60, messages: 130, others: 5, rounds: 2},
		{clients: 20, messages: 1500, others: 0, rounds: 1}, // more than the defaults allow
		{clients: 60, messages: 130, others: 5, rounds: 1, cold: true},
	} {
		p.frameBytes, p.every, p.calm, p.settle, p.concurrency = 165, 20*time.Millisecond, 200*time.Millisecond, 50*time.Millisecond, 32
		p.grace = 300 * time.Millisecond
		err := b.withCrowd(p.configure(holdfast), func(c *crowd) error {
			result, bars, err := p.measure(b, c, io.Discard)
			if err != nil {
				return err
			}
			r := result.(*recoverResult)
			if len(r.Rounds) != p.rounds || !bars[0].Pass || !bars[1].Pass { // the others are figures of a quiet machine
				t.Errorf("%d clients, cold %v: %+v", p.clients, p.cold, r)
			}
			if p.others > 0 && (r.Before.Receptions == 0 || r.Away.Receptions == 0 || r.Before.P99 <= 0) {
				t.Errorf("bystanders: %+v, %+v", r.Before, r.Away)
			}
			if blocks := r.Rounds[0].Disk + r.Rounds[0].Memory; p.cold && (r.Rounds[0].Disk == 0 || blocks == 0) {
				t.Errorf("a restarted server read no block from its disk: %+v", r.Rounds[0])
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestStreamsAgainstHoldfast(t *testing.T) {
	b, holdfast := startHoldfast(t)
	p := streamsPlan{streams: 20, polls: 20, base: 10, settle: 50 * time.Millisecond, frameBytes: 165}
	err := b.withCrowd(holdfast.with("", "--set", "admin.pprof=true"), func(c *crowd) error {
		result, _, err := p.measure(b, c, io.Discard)
		if err != nil {
			return err
		}
		r := result.(*streamsResult)
		if r.Delivered != 20 || r.Answered != 20 || r.Reason != "" {
			t.Errorf("delivery: %+v", r)
		}
		if more := r.Goroutines[2] - r.Goroutines[0]; r.Goroutines[0] <= 0 || more > 50 {
			t.Errorf("goroutines: %v", r.Goroutines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is only known to holdfast's doors is not asked of others.
func TestJudgedCommandsWantAHoldfast(t *testing.T) {
	t.Setenv(pinnedMark, "1,0")
	code := run(context.Background(), []string{"streams", "-root", "../..", "-force", "-sse", "1", "-polls", "1", "-compare", "other=/bin/true {port}", "-target", "other"}, io.Discard, io.Discard)
	if code != exitRefuse {
		t.Errorf("exit code %d, want %d", code, exitRefuse)
	}
}
