package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// got is what a peer was told.
type got struct {
	op   byte
	text string
	size int
}

// peerFrame is a frame from a server.
func peerFrame(op byte, payload []byte) []byte {
	out := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		out = append(out, byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 127), uint64(n))
	}
	return append(out, payload...)
}

// Whatever pieces the bytes come in, a peer is told the same messages: short ones whole, of long ones the head.
func TestPeerInputInPieces(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), 5000)
	h := newHandshake("x")
	answer := fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n", h.accept)
	whole := slices.Concat(answer, peerFrame(opText, []byte("a")), peerFrame(opText, long), peerFrame(opPing, []byte("p")),
		peerFrame(opText, long[:peerWhole+1]), peerFrame(opText, long[:1000]), peerFrame(opText, nil))
	want := []got{{opText, "a", 1}, {opText, string(long[:peerHead]), len(long)}, {opPing, "p", 1}, {opText, string(long[:peerHead]), peerWhole + 1},
		{opText, string(long[:1000]), 1000}, {opText, "", 0}}
	for _, piece := range []int{1, 7, 511, 512, 513, 4096, len(whole)} {
		p := &peer{state: peerUpgrading}
		var all []got
		for at := 0; at < len(whole); at += piece {
			in := bytes.Clone(whole[at:min(at+piece, len(whole))])
			err := p.input(in, &h, func(op byte, payload []byte, size int) error {
				all = append(all, got{op, string(payload), size})
				return nil
			})
			if err != nil {
				t.Fatalf("pieces of %d: %v", piece, err)
			}
			clear(in) // the buffer is the next read's
		}
		if !slices.Equal(all, want) {
			t.Errorf("pieces of %d: %d messages, want %d", piece, len(all), len(want))
		}
	}
}

func TestPeerRefusesBadFrames(t *testing.T) {
	for name, b := range map[string][]byte{
		"masked": {0x81, 0x81, 0, 0, 0, 0, 0}, "fragmented": {0x01, 0x01, 'x'}, "compressed": {0xC1, 0x01, 'x'},
		"huge": {0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0}, "long and binary": peerFrame(2, make([]byte, peerWhole+1)),
	} {
		p := &peer{state: peerReady}
		if err := p.input(b, nil, func(byte, []byte, int) error { return nil }); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The two parts of a client event are one masked frame, whatever its length form.
func TestClientEventInTwoParts(t *testing.T) {
	for _, size := range []int{1, 60, 200, 70_000, 1_000_000} {
		data := bytes.Repeat([]byte{'x'}, size)
		frame := append(clientEventHead("private-a", size), clientEventRest("private-a", data)...)
		head := 2
		switch frame[1] &^ 0x80 {
		case 126:
			head = 4
		case 127:
			head = 10
		}
		key, body := frame[head:head+4], frame[head+4:]
		for i := range body {
			body[i] ^= key[i&3]
		}
		want := `{"event":"client-bench","channel":"private-a","data":"` + string(data) + `"}`
		frame[1] &^= 0x80
		if _, n, length, err := frameHead(frame, maxFrame); err != nil || n != head || length != len(want) || string(body) != want {
			t.Errorf("%d bytes: announced %d, %v; %.80s", size, length, err, body)
		}
		if string(data) != strings.Repeat("x", size) {
			t.Error("the data was changed")
		}
	}
}

func TestSocketID(t *testing.T) {
	if id, err := socketIDOf([]byte(`{"event":"pusher:connection_established","data":"{\"socket_id\":\"8137.4592\",\"activity_timeout\":117}"}`)); id != "8137.4592" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	for _, bad := range []string{``, `{}`, `{"data":"{}"}`, `{"data":{"socket_id":"1.2"}}`} {
		if id, err := socketIDOf([]byte(bad)); err == nil {
			t.Errorf("%s: %q", bad, id)
		}
	}
	// From the documentation of the protocol.
	if got := channelAuth("1234.1234", "private-foobar"); !strings.HasPrefix(got, appKey+":") || len(got) != len(appKey)+1+64 {
		t.Errorf("auth %q", got)
	}
}

func TestMemoryReturnsAgainstHoldfast(t *testing.T) {
	b, holdfast := startHoldfast(t)
	p := returnsPlan{clients: 20, bytes: 100_000, concurrency: 6, settle: 20 * time.Millisecond, within: 50 * time.Millisecond}
	err := b.withCrowd(p.configure(holdfast), func(c *crowd) error {
		result, bars, err := p.measure(b, c.srv, discard)
		if err != nil {
			return err
		}
		r := result.(*returnsResult)
		if !bars[0].Pass || !bars[1].Pass || r.RSSPeak < r.RSSBefore || len(r.Readings) != 1 {
			t.Errorf("%+v", r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A message that the server does not take is refused in the books too.
func TestMemoryReturnsSeesRefusals(t *testing.T) {
	b, holdfast := startHoldfast(t)
	p := returnsPlan{clients: 4, bytes: 12_000, concurrency: 4, within: 10 * time.Millisecond}
	err := b.withCrowd(holdfast, func(c *crowd) error { // 10 KiB are allowed
		result, bars, err := p.measure(b, c.srv, discard)
		if err != nil {
			return err
		}
		if r := result.(*returnsResult); r.Refused != 4 || bars[0].Pass || bars[1].Pass {
			t.Errorf("%+v", r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStuckAgainstHoldfast(t *testing.T) {
	b, holdfast := startHoldfast(t)
	for _, history := range []bool{true, false} {
		p := stuckPlan{clients: 40, stuck: 5, rate: 200, frameBytes: 4096, history: history, others: 5, every: 20 * time.Millisecond,
			calm: 200 * time.Millisecond, length: 700 * time.Millisecond, warm: 20}
		err := b.withCrowd(p.configure(holdfast), func(c *crowd) error {
			result, _, err := p.measure(b, c, discard)
			if err != nil {
				return err
			}
			r := result.(*stuckResult)
			if r.Missing != 0 || r.Lost != 0 || r.Published < 30 || r.Before.Receptions == 0 || r.During.Receptions == 0 {
				t.Errorf("history %v: %+v", history, r)
			}
			if history && (r.CaughtUp != 5 || r.Closed != 0 || r.Queued == 0) {
				t.Errorf("with history: %+v", r)
			}
			if !history && r.Closed != 5 {
				t.Errorf("without history: %+v", r)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFairAgainstHoldfast(t *testing.T) {
	b, holdfast := startHoldfast(t)
	p := fairPlan{clients: 50, rate: 20, quiet: 10, events: 200, warm: 50 * time.Millisecond, calm: 100 * time.Millisecond, length: 400 * time.Millisecond}
	for _, one := range fairCases {
		r, err := p.one(b, holdfast.with(one.config))
		if err != nil {
			t.Fatal(err)
		}
		if r.Missing != 0 || r.Calm.Receptions == 0 || r.Noisy.Receptions == 0 || r.Sent == 0 || r.Relayed == 0 || r.Load == 0 {
			t.Errorf("%s: %+v", one.name, r)
		}
		for _, l := range []latencies{r.Calm, r.Noisy} {
			if l.P50 <= 0 || l.Max > 20_000 {
				t.Errorf("%s: %+v cannot be true", one.name, l)
			}
		}
		if one.name == "limited" && (r.Reconnect == 0 || r.Refused == 0) {
			t.Errorf("nothing was limited: %+v", r)
		}
	}
}

func TestChurnAgainstHoldfast(t *testing.T) {
	b, holdfast := startHoldfast(t)
	p := churnPlan{rate: 100, duration: 600 * time.Millisecond, sample: 100 * time.Millisecond, activity: 10 * time.Second,
		grace: time.Second, pong: 5 * time.Second, warm: 100 * time.Millisecond, lifetime: 300 * time.Millisecond, seed: 3}
	// Without those whose end the server's timers bring, which are seconds away: the rest in all its ways.
	shares := churnMix
	shares[bySilence], shares[byHalf] = 0, 0
	err := b.withCrowd(p.configure(holdfast), func(c *crowd) error {
		result, bars, err := p.churn(b, c.srv, shares, discard)
		if err != nil {
			return err
		}
		r := result.(*churnResult)
		if r.Opened < 40 || r.Failed != 0 || r.Overdue != 0 || len(r.Readings) != 6 || r.Base.Goroutines == 0 || r.Base.Descriptors == 0 || r.Base.HeapGoal == 0 {
			t.Errorf("%+v", r)
		}
		for _, v := range bars[len(bars)-3:] {
			if !v.Pass {
				t.Errorf("%+v; base %+v, after %+v", v, r.Base, r.After)
			}
		}
		for _, way := range []closing{byClose, byFIN, byRST, byVanishing} {
			if r.Ended[closingNames[way]] == 0 {
				t.Errorf("none ended by %s", closingNames[way])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A connection that is ended before its time is a finding.
func TestTrafficNoticesAnEndBeforeTheTime(t *testing.T) {
	b, holdfast := startHoldfast(t)
	err := b.withCrowd(holdfast, func(c *crowd) error {
		n, err := newTraffic(b.ctx, c.srv, 200, mix{bySilence: 1}, time.Minute, 1)
		if err != nil {
			return err
		}
		defer n.ps.close()
		n.start()
		return n.ps.until(10*time.Second, "a lost connection", func() (bool, error) {
			if n.opened > 5 && n.opened < 10 {
				for p := range n.ways {
					n.ps.lose(p, errEnded)
					break
				}
			}
			return n.failed > 0 && strings.Contains(n.reason, "before its time"), n.turn(0)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMixPicksByTheShares(t *testing.T) {
	total := 0
	for _, share := range churnMix {
		total += share
	}
	if total != 100 {
		t.Errorf("shares are %d %%", total)
	}
	n := &traffic{random: newRandom(7)}
	var counts mix
	for range 20_000 {
		counts[churnMix.pick(n.random)]++
	}
	for way, share := range churnMix {
		if got := float64(counts[way]) / 200; got < float64(share)*0.85-0.1 || got > float64(share)*1.15+0.1 {
			t.Errorf("%s: %.1f %%, want %d %%", closingNames[way], got, share)
		}
	}
	p := churnPlan{rate: 500, activity: 120 * time.Second, grace: 15 * time.Second, pong: 30 * time.Second, lifetime: lifetimeMost}
	if need := p.sockets(); need < 4000 || need > 10_000 {
		t.Errorf("%d sockets at most", need)
	}
}

func TestPausesAgainstHoldfast(t *testing.T) {
	b, holdfast := startHoldfast(t)
	p := pausesPlan{clients: 100, large: 10, small: 200, length: 600 * time.Millisecond, eventSize: 512}
	r, err := p.one(b, traced(holdfast))
	if err != nil {
		t.Fatal(err)
	}
	if r.Large == 0 || r.Small == 0 || r.Received == 0 || r.CameAndWent == 0 || r.Relayed == 0 {
		t.Errorf("the load was not mixed: %+v", r)
	}
}

func TestCollectorAgainstHoldfast(t *testing.T) {
	b, holdfast := startHoldfast(t)
	p := collectorPlan{clients: 20, each: 10, rate: 500, eventSize: 512, percents: []int{0, 30}, runs: 1, length: 600 * time.Millisecond}
	result, bars, err := p.measure(b, holdfast, discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range bars {
		if !v.Pass && v.Name == "events that did not arrive" {
			t.Errorf("%+v", v)
		}
	}
	r := result.(*collectorResult)
	if r.Channels != 200 || len(r.Runs) != 2 {
		t.Fatalf("%+v", r)
	}
	for _, one := range r.Runs {
		if one.Published == 0 || one.Received != one.Published || one.RSSPeak == 0 || one.PerPublish <= 0 {
			t.Errorf("%+v", one)
		}
	}
}

func TestCurvesAgainstBoth(t *testing.T) {
	b, holdfast := startHoldfast(t)
	_, floor := startFloor(t)
	p := curvesPlan{runs: 1, connections: []int{120, 140}, channels: []int{120}, subscribers: []int{5, 20}, sizes: []int{64, 16384}, sizeCrowd: 10,
		budget: 10 * time.Millisecond, settle: 10 * time.Millisecond}
	p.svg = t.TempDir()
	p.root = "../.."
	result, _, err := p.measure(b, []target{floor, holdfast}, discard)
	if err != nil {
		t.Fatal(err)
	}
	r := result.(*curvesResult)
	if len(r.Files) != 5 {
		t.Errorf("pictures: %v", r.Files)
	}
	for name, c := range r.Charts {
		want := 2
		if name == curveChannels {
			want = 1
		}
		if len(c.Lines) != want {
			t.Errorf("%s: %d lines", name, len(c.Lines))
		}
		for _, l := range c.Lines {
			for _, p := range l.Points {
				if (name == curveSubscribers || name == curveSizes || name == curveHandshake) && p.Y <= 0 {
					t.Errorf("%s, %s: %+v", name, l.Name, p)
				}
			}
		}
	}
}
