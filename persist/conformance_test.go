package persist

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/routertest"
)

// TestLogConformance: the log of a server that stands alone keeps the router's contract.
func TestLogConformance(t *testing.T) {
	t.Parallel()
	routertest.Log(t, func(t *testing.T) *routertest.Cluster {
		b := newBench(t, func(c *Config) { c.Shards = 4 })
		return &routertest.Cluster{
			Nodes: []*routertest.Node{routertest.Alone(t, routerLog{b})},
			Now:   b.clock.now, Pass: b.clock.advance,
			Refusals: map[string]func() func(){
				"the queue is full": b.fillQueue,
				"the log is closed": func() func() { _ = b.log.Close(); return nil },
			},
			Renew: func() { b.crash("boot-2") },
		}
	})
}

// fillQueue holds a sequencer and queues events until no more are taken.
func (b *bench) fillQueue() (restore func()) {
	b.t.Helper()
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	b.t.Cleanup(release) // before the log is closed, which waits for it
	item := &text{body: "x", done: func(Result) { <-hold }}
	for n := 0; ; n++ {
		switch err := b.log.Append([]Append{{Key: "fill", Item: item}}); {
		case errors.Is(err, ErrBusy):
			return func() {
				release()
				b.eventually("the queue is empty", func() bool { return b.log.queued.events.Load() == 0 })
			}
		case err != nil || n > 2*b.cfg.QueueEvents:
			b.t.Fatalf("event %d: %v", n, err)
		}
	}
}

// routerLog is a bench's log as the router sees it: what cmd/holdfast makes of it.
type routerLog struct{ b *bench }

var _ router.Log = routerLog{}

// routerItem carries an event of the router.
type routerItem struct{ router.LogItem }

func (i routerItem) Done(r Result) {
	i.LogItem.Done(router.LogResult{
		Epoch: r.Epoch, Start: r.Start, Seq: r.Seq, Payload: r.Payload, Logged: r.Logged, Duplicate: r.Duplicate, Err: routerError(r.Err),
	})
}

func routerError(err error) error {
	switch {
	case errors.Is(err, ErrGone):
		return router.ErrGone
	case errors.Is(err, ErrBusy):
		return router.ErrBusy
	case errors.Is(err, ErrDurableUnavailable), errors.Is(err, ErrClosed):
		return router.ErrLogUnavailable
	default:
		return err
	}
}

func routerPosition(p Position) router.Position {
	return router.Position{Epoch: p.Epoch, Start: p.Start, Seq: p.Seq, Broken: p.Broken}
}

func routerEvent(e Event) router.LogEvent {
	return router.LogEvent{Seq: e.Seq, TimeMS: e.TimeMS, Payload: e.Payload}
}

func (l routerLog) Append(batch []router.LogAppend) error {
	events := make([]Append, len(batch))
	for i, a := range batch {
		events[i] = Append{
			Key: a.Key, Rule: Rule(a.Rule), Durable: a.Durable, Cache: a.Cache, Origin: a.Origin,
			IdemKey: a.IdempotencyKey, Bytes: a.Bytes, Item: routerItem{a.Item},
		}
	}
	return routerError(l.b.log.Append(events))
}

func (l routerLog) Head(key string) (router.Position, bool) {
	at, resident := l.b.log.Head(key)
	return routerPosition(at), resident
}

func (l routerLog) Load(key string) (router.Position, error) {
	at, err := l.b.log.Load(key)
	return routerPosition(at), err
}

func (l routerLog) Last(key string) (router.LogEvent, time.Duration, bool) {
	e, left, ok := l.b.log.Last(key)
	return routerEvent(e), left, ok
}

func (l routerLog) Recover(key string, rule router.Rule, epoch string, from uint64, most int) (router.Position, string) {
	at, reason := l.b.log.Recover(key, Rule(rule), epoch, from, most)
	return routerPosition(at), string(reason)
}

func (l routerLog) Rewind(key string, rule router.Rule, events int, age time.Duration) (router.Position, uint64) {
	at, from := l.b.log.Rewind(key, Rule(rule), events, age)
	return routerPosition(at), from
}

func (l routerLog) Block(key string, seq uint64) (router.LogBlock, error) {
	k, err := l.b.log.Block(key, seq)
	if err != nil {
		return nil, routerError(err)
	}
	return routerBlock{k}, nil
}

func (l routerLog) Hot(key string, seq uint64) router.LogBlock {
	if k := l.b.log.Hot(key, seq); k != nil {
		return routerBlock{k}
	}
	return nil
}

func (l routerLog) History(key string, rule router.Rule, epoch string, from uint64, all bool, limit int, visit func(router.LogEvent) bool) (router.Position, uint64, string) {
	at, oldest, reason := l.b.log.History(key, Rule(rule), from, !all, epoch, limit, func(e Event) bool { return visit(routerEvent(e)) })
	return routerPosition(at), oldest, string(reason)
}

func (l routerLog) Answered(id []byte) (sum [32]byte, status int, body []byte, found bool, err error) {
	return l.b.log.Answered(id)
}

func (l routerLog) Answer(id []byte, sum [32]byte, status int, body []byte) error {
	return l.b.log.Answer(id, sum, status, body)
}

type routerBlock struct{ *Block }

func (b routerBlock) Span() (first, last uint64)    { return b.First, b.Last }
func (b routerBlock) Frames(from, to uint64) []byte { return b.Payloads(from, to) }
func (b routerBlock) Origin(seq uint64) string      { return string(b.Block.Origin(seq)) }
