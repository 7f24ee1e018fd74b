//go:build !invariants && !race

// Checks and race detection have a memory of their own; the budget holds without.

package router

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"testing"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// TestAChannelCostsAtMost320Bytes measures what a channel with one subscriber and a
// name of 32 bytes adds to the process: directory entry, record, local record,
// membership. The connections' sessions and the transport are not part of it.
func TestAChannelCostsAtMost320Bytes(t *testing.T) {
	const before, after, perConn, budget = 20_000, 220_000, 100, 320
	e := newEdge(t, 2)
	for _, l := range e.loops {
		l.quiet = true
	}
	var peers []*peer
	for i := range after / perConn {
		peers = append(peers, e.open(i%2, plainUpgrade()))
	}
	fill := func(from, to int) int {
		for i := from; i < to; i++ {
			name := fmt.Sprintf("private-App.Models.User.%08d", i)
			p := peers[i/perConn]
			if no := p.loop.s.join(p.slot, p.loop.s.sessions.at(p.slot), &request{app: e.app, kind: pusher.Private, name: name}); no != nil {
				t.Fatal(no.text)
			}
			if i%1000 == 0 {
				e.pump()
			}
		}
		e.pump()
		return resident(t)
	}
	first := fill(0, before)
	second := fill(before, after)
	per := float64(second-first) / (after - before)
	t.Logf("%.0f bytes per channel (%d MiB for %d)", per, (second-first)>>20, after-before)
	if per > budget {
		t.Errorf("%.0f bytes per channel, budget %d", per, budget)
	}
	if per < 100 {
		t.Errorf("%.0f bytes per channel: the measurement sees too little", per)
	}
	if n := e.loops[0].s.locals.Live() + e.loops[1].s.locals.Live(); n != after {
		t.Fatalf("%d channels, want %d", n, after)
	}
	e.checkEmpty()
}

// resident is the process's resident set in bytes, garbage given back.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(b)
	pages, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
