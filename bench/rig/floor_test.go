package main

import (
	"context"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startFloor builds the yardstick and gives a bench that measures with small numbers.
// The calling test must not be parallel: it stays on its thread until it ends, with the thread's affinity narrowed.
func startFloor(t *testing.T) (*bench, target) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "floor")
	if err := buildFloor(root, path); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and its affinity with it
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	var at cpus
	for i := range 1024 {
		if allowed.IsSet(i) {
			at.client, at.server = at.server, i
		}
	}
	p := plan{common: common{wait: "block"}, N1: 100, N2: 400, Settle: 50 * time.Millisecond, Handshakes: 300, Waves: 2, Concurrency: 32,
		Subscribers: 200, Subscribers32: 100, UnderWay: 32, FrameBytes: 165, ServerCPU: 50 * time.Millisecond, Broadcasts: 3, PerSecond: 20}
	return &bench{ctx: context.Background(), plan: p, cpus: at}, target{name: "floor", command: []string{path, "{port}"}}
}

func TestFloorDeliversExactlyOnceInOrder(t *testing.T) {
	b, floor := startFloor(t)
	e := exactPlan{clients: 300, messages: 50, frameBytes: 165, grace: 50 * time.Millisecond, silence: 5 * time.Second, limit: time.Minute}
	err := b.withCrowd(floor, func(c *crowd) error {
		got, err := e.deliver(c, io.Discard)
		if err == nil && (!got.OK || got.Delivered != 300*50) {
			t.Errorf("delivery: %+v", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every experiment runs against the floor and gives figures that can be true: nothing negative, nothing absurd.
func TestExperimentsAgainstTheFloor(t *testing.T) {
	b, floor := startFloor(t)
	within := map[string][2]float64{
		"memory": {0, 2000}, "handshake": {1, 5000}, "fanout1": {1000, 5e6}, "fanout32": {1000, 5e6}, "latency": {0.05, 2000},
	}
	for _, e := range experiments {
		if e.only != nil && e.only(floor) {
			t.Fatalf("%s: the floor has no such figure", e.rows[0])
		}
		if e.only != nil {
			continue
		}
		samples, err := e.measure(b, floor)
		if err != nil {
			t.Fatalf("%s: %v", e.rows[0], err)
		}
		for name, s := range samples {
			if r := within[name]; s.Value < r[0] || s.Value > r[1] {
				t.Errorf("%s = %v %v", name, s.Value, s.Detail)
			}
			if bytes, ok := s.Detail["frame_bytes"]; ok && bytes != 165 {
				t.Errorf("%s: frames of %v bytes, want 165", name, bytes)
			}
		}
		if len(samples) == 0 {
			t.Errorf("%s: no figure", e.rows[0])
		}
	}
}

// A server that dies in the middle of a run is noticed at once, and named.
func TestServerThatDies(t *testing.T) {
	b, floor := startFloor(t)
	began := time.Now()
	err := b.withCrowd(floor, func(c *crowd) error {
		if err := c.connect(10, 10); err != nil {
			return err
		}
		c.tolerant = true
		if err := c.srv.cmd.Process.Kill(); err != nil {
			return err
		}
		return c.until(time.Minute, "nothing", func() bool { return false })
	})
	if err == nil || time.Since(began) > 30*time.Second {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	b, _ := startFloor(t)
	err := b.withCrowd(target{name: "broken", command: []string{"/bin/sh", "-c", "echo cannot bind; exit 3", "{port}"}}, func(*crowd) error { return nil })
	if err == nil {
		t.Fatal("started")
	}
	for _, want := range []string{"broken is not ready", "exit status 3", "cannot bind"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
