package netio

import (
	"sync/atomic"

	"github.com/holdfast-edge/holdfast/frame"
)

// handshakeResult is how a handshake ended; the labels are a closed set.
type handshakeResult int

const (
	handshakeOK handshakeResult = iota
	handshakeHTTP
	handshakeTimeout
	handshakeAborted
	handshakeBadRequest
	handshakeVersion
	handshakeResults
)

var handshakeLabels = [handshakeResults]string{"ok", "http", "timeout", "aborted", "bad_request", "version"}

// closeCodes are the codes that get a label of their own; clients may send any
// of 4,000 others, which share "other".
var closeCodes = [...]uint16{
	1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011,
	4001, 4003, 4005, 4006, 4007, 4009, 4100, 4200, 4201,
}

const otherCode = len(closeCodes)

// closeSide is who ended a connection.
type closeSide int

const (
	byClient closeSide = iota
	byServer
	byKernel
	closeSides
)

var closeSideLabels = [closeSides]string{"client", "server", "kernel"}

// lagBounds are the upper bounds of loop_lag_seconds in nanoseconds.
var lagBounds = [...]int64{500e3, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6, 200e6, 500e6, 1e9, 2e9, 5e9, 10e9}

// loopStats are one loop's counters, written by it alone and read by the
// collector, so every write is to a line of this loop's own.
type loopStats struct {
	_          [64]byte
	states     [stateDead + 1]atomic.Int64
	handshakes [handshakeResults]atomic.Uint64
	closes     [otherCode + 1][closeSides]atomic.Uint64
	opened     [maxListeners]atomic.Uint64
	slow       atomic.Uint64
	noPong     atomic.Uint64
	bytesIn    atomic.Uint64
	bytesOut   atomic.Uint64
	events     atomic.Uint64
	commands   atomic.Uint64
	queuedNow  atomic.Int64
	entries    atomic.Int64
	wheelLag   atomic.Uint64 // ns
	busy       atomic.Int64  // ns spent in turns
	lag        [len(lagBounds) + 1]atomic.Uint64
	lagSum     atomic.Int64 // ns
	_          [64]byte
}

func (s *loopStats) state(c connState) *atomic.Int64 { return &s.states[c] }

func (s *loopStats) queued(n int) { s.queuedNow.Add(int64(n)) }

// closed counts an established connection's end.
func (s *loopStats) closed(r frame.CloseReason) {
	code := otherCode
	for i, c := range closeCodes {
		if c == r.Code {
			code = i
			break
		}
	}
	side := byServer
	switch r.Label {
	case frame.PeerClosed.Label:
		side = byClient
	case frame.PeerReset.Label:
		side = byKernel
	}
	s.closes[code][side].Add(1)
}

// turn books one turn that took ns nanoseconds from the wake-up to its end: the
// longest that any event of it has waited.
func (s *loopStats) turn(ns int64, events int) {
	s.busy.Add(ns)
	if events == 0 {
		return
	}
	s.events.Add(uint64(events))
	i := 0
	for i < len(lagBounds) && ns > lagBounds[i] {
		i++
	}
	s.lag[i].Add(1)
	s.lagSum.Add(ns)
}
