package main

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// closing is a way in which a connection ends.
type closing uint8

const (
	// byClose: a WebSocket Close frame; the server answers it and ends the connection.
	byClose closing = iota
	// byFIN: close(2), as a process that exits.
	byFIN
	// byRST: reset.
	byRST
	// bySilence: it neither reads nor answers any more; the server's heartbeat ends it.
	bySilence
	// byHalf: half of the handshake is sent, then nothing; limits.handshake_timeout ends it.
	byHalf
	// byVanishing: reset in the moment in which its subscribe has left.
	byVanishing
	closings
)

var closingNames = [closings]string{"close frame", "FIN", "RST", "silence", "half a handshake", "vanished while subscribing"}

// mix is the share of each way, in percent of the connections.
type mix [closings]int

const (
	lifetimeMost  = 4 * time.Second  // by default
	answerWithin  = 10 * time.Second // the server must have answered a Close frame
	churnChannels = 500              // that they subscribe to
)

// due is something to be done with a connection.
type due struct {
	at int64 // now() of the peers
	p  *peer
}

type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// traffic is connections that come and go at a fixed rate, each ending in a way of its own. Owned by one goroutine.
type traffic struct {
	ps       *peers
	period   int64 // ns between two connects
	shares   mix
	random   *rand.Rand
	patience time.Duration // until the server must have ended a silent connection
	lifetime time.Duration // a connection lives up to this long, evenly spread, before it ends itself

	on   bool
	next int64 // when the next connect is due
	ways map[*peer]closing
	ends map[*peer]bool // its end is wanted: it has been asked for, or awaited since the server has to do it
	due  dueHeap

	opened  int
	ended   [closings]int
	overdue int // the server did not end them in time; the rig did
	failed  int // ended before their time
	reason  string
}

// newTraffic makes n connects a second, and as many ends.
func newTraffic(ctx context.Context, srv *server, perSecond float64, shares mix, patience time.Duration, seed uint64) (*traffic, error) {
	ps, err := newPeers(ctx, srv)
	if err != nil {
		return nil, err
	}
	t := &traffic{ps: ps, period: int64(float64(time.Second) / perSecond), shares: shares, patience: patience, lifetime: lifetimeMost,
		random: newRandom(seed), ways: map[*peer]closing{}, ends: map[*peer]bool{}}
	ps.channel = func(number int) string { return fmt.Sprintf("churn-%03d", number%churnChannels) }
	ps.onEnd = t.endedByServer
	ps.onSent = func(p *peer) error {
		if t.ways[p] == byVanishing {
			t.end(p, ps.reset)
		}
		return nil
	}
	return t, nil
}

// newRandom is a source that gives the same numbers for the same seed.
func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

func (t *traffic) start() { t.on, t.next = true, t.ps.now() }

func (t *traffic) stop() { t.on = false }

// pick chooses a way by the shares.
func (m mix) pick(r *rand.Rand) closing {
	total := 0
	for _, share := range m {
		total += share
	}
	at := r.IntN(total)
	for way, share := range m {
		if at -= share; at < 0 {
			return closing(way)
		}
	}
	return byRST
}

// turn opens and ends what is due and handles what has come; it waits for that for at most timeout ms.
func (t *traffic) turn(timeout int) error {
	now := t.ps.now()
	for t.on && now >= t.next {
		if err := t.open(now); err != nil {
			return err
		}
		t.next += t.period
	}
	for len(t.due) > 0 && t.due[0].at <= now {
		p := heap.Pop(&t.due).(due).p
		if _, ok := t.ways[p]; ok {
			if err := t.act(p, now); err != nil {
				t.ps.lose(p, err)
			}
		}
	}
	return t.ps.turn(timeout)
}

func (t *traffic) open(now int64) error {
	p, err := t.ps.open()
	if err != nil {
		return err
	}
	t.opened++
	way := t.shares.pick(t.random)
	t.ways[p] = way
	life := time.Duration(t.random.Int64N(int64(t.lifetime)))
	switch way {
	case byHalf: // the server's end is awaited from the start
		p.half = true
		t.ends[p] = true
		life = t.patience
	case byVanishing: // ends itself when its subscribe has left
		life = t.patience
	}
	heap.Push(&t.due, due{now + int64(life), p})
	return nil
}

// act ends a connection whose time has come, or takes note that the server did not.
func (t *traffic) act(p *peer, now int64) error {
	way := t.ways[p]
	switch {
	case t.ends[p] || way == byVanishing:
		t.overdue++
		t.because(fmt.Errorf("%s: the server has not done its part in time, state %d", closingNames[way], p.state))
		t.end(p, t.ps.reset)
	case way == byClose && p.state >= peerGreeting: // before that there is nobody to send a frame to
		t.ends[p] = true
		heap.Push(&t.due, due{now + int64(answerWithin), p})
		return p.say(opClose, []byte{0x03, 0xe8})
	case way == byFIN:
		t.end(p, t.ps.finish)
	case way == bySilence:
		t.ends[p], p.deaf = true, true
		heap.Push(&t.due, due{now + int64(t.patience), p})
	default:
		t.end(p, t.ps.reset)
	}
	return nil
}

// end ends a connection from this side.
func (t *traffic) end(p *peer, by func(*peer)) {
	t.ended[t.ways[p]]++
	delete(t.ways, p)
	delete(t.ends, p)
	by(p)
}

// endedByServer books an end that came from the other side: wanted, or not.
func (t *traffic) endedByServer(p *peer, err error) {
	if !t.ends[p] {
		t.failed++
		t.because(fmt.Errorf("%s: ended before its time: %w", closingNames[t.ways[p]], err))
	}
	t.ended[t.ways[p]]++
	delete(t.ways, p)
	delete(t.ends, p)
}

func (t *traffic) because(err error) {
	if t.reason == "" {
		t.reason = err.Error()
	}
}
