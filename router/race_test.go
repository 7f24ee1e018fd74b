package router

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

// liveLoop is a loop with a goroutine of its own, so that the race detector sees
// the router as it runs: shards on their goroutines, publishers and queries on
// others.
type liveLoop struct {
	t     *testing.T
	id    int
	edge  *liveEdge
	shard *Shard

	mu    sync.Mutex
	wake  *sync.Cond
	inbox []command
	calls []func() // what clients do; run on the loop
	stop  bool

	// Owned by the loop's goroutine.
	peers map[uint32]*livePeer
}

type liveEdge struct {
	r     *Router
	loops []*liveLoop
	start time.Time
}

// livePeer checks the order of what it receives on each channel.
type livePeer struct {
	id   string
	last map[string]int // by channel: the last event's number
	got  int
}

func (e *liveEdge) Count() int   { return len(e.loops) }
func (e *liveEdge) clock() int64 { return int64(time.Since(e.start)) + int64(time.Hour) }
func (e *liveEdge) MustPost(loop int, op uint8, arg uint64, ref any) {
	l := e.loops[loop]
	l.mu.Lock()
	l.inbox = append(l.inbox, command{op, arg, ref})
	l.mu.Unlock()
	l.wake.Signal()
}

// call runs f on the loop and waits for it.
func (l *liveLoop) call(f func()) {
	done := make(chan struct{})
	l.mu.Lock()
	l.calls = append(l.calls, func() { f(); close(done) })
	l.mu.Unlock()
	l.wake.Signal()
	<-done
}

func (l *liveLoop) run() {
	more := false
	for {
		l.mu.Lock()
		for !more && !l.stop && len(l.inbox) == 0 && len(l.calls) == 0 {
			l.wake.Wait()
		}
		inbox, calls, stop := l.inbox, l.calls, l.stop
		l.inbox, l.calls = nil, nil
		l.mu.Unlock()
		now := l.edge.clock()
		for _, f := range calls {
			f()
		}
		for _, c := range inbox {
			l.shard.Command(now, c.op, c.arg, c.ref)
		}
		more = l.shard.Work(now, now+int64(time.Millisecond))
		if stop && !more && len(inbox) == 0 && len(calls) == 0 {
			return
		}
	}
}

func (l *liveLoop) Send(conn uint32, frames []byte) { l.receive(conn, frames) }
func (l *liveLoop) Deliver(conn uint32, b *frame.Batch) bool {
	l.receive(conn, b.Plain)
	return true
}
func (l *liveLoop) Push(conn uint32, b *frame.Batch)       { l.receive(conn, b.Plain) }
func (l *liveLoop) Empty(conn uint32) bool                 { return true }
func (l *liveLoop) Finish(conn uint32, keep bool)          {}
func (l *liveLoop) Hold(conn uint32, on bool)              {}
func (l *liveLoop) Close(conn uint32, r frame.CloseReason) {}
func (l *liveLoop) Resume(conn uint32)                     {}

func (l *liveLoop) receive(conn uint32, frames []byte) {
	p := l.peers[conn]
	for len(frames) > 0 {
		payload, rest := cutFrame(l.t, frames)
		frames = rest
		var m message
		if err := json.Unmarshal(payload, &m); err != nil {
			l.t.Errorf("frame is no JSON: %q", payload)
			return
		}
		switch m.Event {
		case "pusher:connection_established":
			var data struct {
				SocketID string `json:"socket_id"`
			}
			_ = json.Unmarshal([]byte(m.text()), &data)
			p.id = data.SocketID
		case "e":
			n, _ := strconv.Atoi(m.text())
			// A repeated subscribe is answered with the cached event again.
			if n < p.last[m.Channel] || n == p.last[m.Channel] && !m.Cached {
				l.t.Errorf("loop %d, connection %d: event %d on %s after %d", l.id, conn, n, m.Channel, p.last[m.Channel])
			}
			p.last[m.Channel] = n
			p.got++
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	const loops, perLoop, channels, pace = 3, 40, 4, 500 * time.Microsecond
	e := &liveEdge{start: time.Now()}
	for id := range loops {
		l := &liveLoop{t: t, id: id, edge: e, peers: map[uint32]*livePeer{}}
		l.wake = sync.NewCond(&l.mu)
		e.loops = append(e.loops, l)
	}
	cfg := Default()
	cfg.Slots = 1 << 12
	cfg.Apps = []AppConfig{{ID: "app-id", Key: testKey, Secret: testSecret, Enabled: true, ClientEvents: true, SubscriptionCount: true}}
	cfg.Limits.FramesPerSecond, cfg.Limits.SubscribesPerSecond = 100_000, 100_000
	var err error
	if e.r, err = New(cfg, e, e.clock); err != nil {
		t.Fatal(err)
	}
	app, _ := e.r.AppByID("app-id")
	var running sync.WaitGroup
	for _, l := range e.loops {
		l.shard = e.r.Shard(l.id, l)
		running.Go(l.run)
	}

	var published [channels]atomic.Int64
	var order [channels]sync.Mutex // a number is published in its order
	var clients, publishers sync.WaitGroup
	done := make(chan struct{})
	for c := range channels {
		for range 2 {
			publishers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					order[c].Lock()
					n := published[c].Add(1)
					err := e.r.Publish(app, &Event{Name: "e", Data: fmt.Sprint(n), Channels: []string{fmt.Sprintf("presence-cache-%d", c)}})
					order[c].Unlock()
					if err != nil {
						t.Errorf("publish: %v", err)
					}
					time.Sleep(pace) // leaves processor time to the loops
				}
			})
		}
	}
	publishers.Go(func() { // queries, reloads, metrics and terminations beside it
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			e.r.Channels(app, "presence-", InfoUserCount)
			e.r.Users(app, "presence-cache-0")
			e.r.Info(app, "presence-cache-1", InfoCache|InfoSubscriptionCount)
			e.r.Terminate(app, fmt.Sprint("u", i%10))
			if i%50 == 0 {
				scrape(t, e.r)
				must0(t, e.r.Reload(cfg))
			}
			for _, l := range e.loops {
				l.call(func() { l.shard.Tick(e.clock()) })
			}
			time.Sleep(pace)
		}
	})
	for id, l := range e.loops {
		clients.Go(func() { liveClients(t, e, l, uint32(1+id*perLoop), perLoop, channels) })
	}
	clients.Wait()
	close(done)
	publishers.Wait()

	got := 0
	for _, l := range e.loops {
		l.call(func() {
			for slot, p := range l.peers {
				got += p.got
				l.shard.Closed(e.clock(), slot, frame.PeerReset)
			}
		})
	}
	for _, l := range e.loops {
		l.mu.Lock()
		l.stop = true
		l.mu.Unlock()
		l.wake.Signal()
	}
	running.Wait()
	if got < 1000 {
		t.Errorf("%d events were received: the test shows nothing", got)
	}
	for _, l := range e.loops {
		s := l.shard
		if s.nodes.Live() != 0 || s.locals.Live() != 0 || len(s.present) != 0 || s.sessions.count != 0 || s.backlog.events.Load() != 0 {
			t.Errorf("loop %d leaks: %d memberships, %d channels, %d present, %d sessions, backlog %d",
				l.id, s.nodes.Live(), s.locals.Live(), len(s.present), s.sessions.count, s.backlog.events.Load())
		}
	}
	if rows := e.r.Channels(app, "", 0); len(rows) != 0 {
		t.Errorf("channels are left: %v", rows)
	}
}

// liveClients lets the clients of one loop come, join, leave, speak and go.
func liveClients(t *testing.T, e *liveEdge, l *liveLoop, first uint32, n, channels int) {
	rng := rand.New(rand.NewPCG(uint64(first), 9))
	gen := uint32(0)
	for range 1500 {
		slot := first + uint32(rng.IntN(n))
		l.call(func() {
			now, s := e.clock(), l.shard
			p := l.peers[slot]
			if p == nil {
				gen++
				l.peers[slot] = &livePeer{last: map[string]int{}}
				s.Open(now, &frame.Upgrade{Path: []byte("/app/" + testKey), Loop: l.id, Slot: slot, Gen: gen, ActivitySeconds: 120})
				return
			}
			say := func(text string) {
				if err := s.Message(now, slot, frame.OpText, []byte(text)); err != nil {
					t.Errorf("message: %v", err)
				}
			}
			channel := fmt.Sprintf("presence-cache-%d", rng.IntN(channels))
			user := fmt.Sprint("u", rng.IntN(10))
			switch x := rng.IntN(100); {
			case x < 5:
				s.Closed(now, slot, frame.PeerReset)
				delete(l.peers, slot)
			case x < 10:
				data := fmt.Sprintf(`{"id":%q,"watchlist":["u1","u2"]}`, user)
				say(fmt.Sprintf(`{"event":"pusher:signin","data":{"auth":%q,"user_data":%q}}`, sign(p.id+"::user::"+data), data))
			case x < 50:
				data := fmt.Sprintf(`{"user_id":%q}`, user)
				say(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":%q,"auth":%q,"channel_data":%q}}`, channel, sign(p.id+":"+channel+":"+data), data))
			case x < 80:
				delete(p.last, channel) // the cached event of a later join may be an old one
				say(fmt.Sprintf(`{"event":"pusher:unsubscribe","data":{"channel":%q}}`, channel))
			default:
				say(fmt.Sprintf(`{"event":"client-x","channel":%q,"data":{}}`, channel))
			}
		})
	}
}
