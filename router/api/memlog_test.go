package api

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// memLog is a router.Log in memory, with the faults that a test asks for. What the
// API has no use for is not there.
type memLog struct {
	router.Log // nil: Recover, Rewind, Block and Hot are never called

	mu       sync.Mutex
	life     string
	nowMS    int64
	channels map[string]*memChannel
	answers  map[string]memAnswer
	durable  int      // events that were to be durable
	appended []string // "channel name", in order, without duplicates

	// Faults.
	full       bool   // nothing can be written: durable events are refused
	busy       bool   // Append takes nothing
	down       bool   // Load fails
	refuse     string // an event of this channel is refused after it was taken
	refusal    error  // with what; nil = ErrLogUnavailable
	deaf       bool   // Answered fails
	mute       bool   // Answer fails
	loseFinal  bool   // answers are not stored; what binds a key is
	unreadable bool   // History shows what is no event
	gate       chan struct{}
	entered    chan struct{} // one value for each Append that waits at gate
}

type memChannel struct {
	at     router.Position
	events []router.LogEvent // consecutive
	keys   map[string]router.LogResult
}

type memAnswer struct {
	sum    [32]byte
	status int
	body   string
}

func newMemLog() *memLog {
	return &memLog{life: "k3f9a7c2", nowMS: 1_700_000_000_000, channels: map[string]*memChannel{}, answers: map[string]memAnswer{}}
}

// set changes the log between two requests.
func (l *memLog) set(change func(*memLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *memLog) channel(key string) *memChannel {
	if l.channels[key] == nil {
		l.channels[key] = &memChannel{at: router.Position{Epoch: l.life}, keys: map[string]router.LogResult{}}
	}
	return l.channels[key]
}

func (l *memLog) Append(batch []router.LogAppend) error {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	if gate != nil {
		l.entered <- struct{}{}
		<-gate
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy {
		return router.ErrBusy
	}
	for _, a := range batch {
		if a.Durable && l.full {
			return router.ErrLogUnavailable
		}
	}
	for _, a := range batch {
		a.Item.Done(l.append(a))
	}
	return nil
}

func (l *memLog) append(a router.LogAppend) router.LogResult {
	c := l.channel(a.Key)
	if former, ok := c.keys[string(a.IdempotencyKey)]; ok && a.IdempotencyKey != nil {
		former.Duplicate = true
		return former
	}
	_, channel, _ := strings.Cut(a.Key, "\x1f")
	if channel == l.refuse {
		return router.LogResult{Err: cmp.Or(l.refusal, router.ErrLogUnavailable)}
	}
	if a.Durable {
		l.durable++
	}
	l.appended = append(l.appended, channel)
	var res router.LogResult
	if l.full || a.Rule.Events == 0 {
		c.at.Broken = c.at.Broken || a.Rule.Events > 0
		res = router.LogResult{Payload: a.Item.AppendPayload(nil, "", 0), Logged: !l.full}
	} else {
		c.at.Seq++
		p := a.Item.AppendPayload(nil, c.at.Epoch, c.at.Seq)
		c.events = append(c.events, router.LogEvent{Seq: c.at.Seq, TimeMS: l.nowMS, Payload: p})
		l.nowMS++
		for len(c.events) > a.Rule.Events {
			c.events = c.events[1:]
		}
		res = router.LogResult{Epoch: c.at.Epoch, Start: c.at.Start, Seq: c.at.Seq, Payload: p, Logged: true}
	}
	if a.IdempotencyKey != nil && !l.full {
		c.keys[string(a.IdempotencyKey)] = res
	}
	return res
}

func (l *memLog) Head(key string) (router.Position, bool) {
	at, err := l.Load(key)
	return at, err == nil
}

func (l *memLog) Load(key string) (router.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return router.Position{}, errors.New("the log is down")
	}
	return l.channel(key).at, nil
}

func (l *memLog) Last(string) (router.LogEvent, time.Duration, bool) {
	return router.LogEvent{}, 0, false
}

func (l *memLog) History(key string, _ router.Rule, epoch string, from uint64, all bool, limit int, visit func(router.LogEvent) bool) (router.Position, uint64, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.channel(key)
	oldest := c.at.Seq + 1 - uint64(len(c.events))
	if !all {
		switch {
		case c.at.Broken || l.down:
			return c.at, oldest, router.ReasonUnavailable
		case epoch != c.at.Epoch:
			return c.at, oldest, router.ReasonEpoch
		case from > c.at.Seq:
			return c.at, oldest, router.ReasonAhead
		case from+1 < oldest:
			return c.at, oldest, router.ReasonExpired
		}
	}
	for _, e := range c.events {
		if e.Seq > from && limit > 0 {
			limit--
			if l.unreadable {
				e.Payload = []byte("\x81\x02no")
			}
			if !visit(e) {
				break
			}
		}
	}
	return c.at, oldest, ""
}

func (l *memLog) Answered(id []byte) (sum [32]byte, status int, body []byte, found bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		return sum, 0, nil, false, errors.New("the log cannot be read")
	}
	a, ok := l.answers[string(id)]
	return a.sum, a.status, []byte(a.body), ok, nil
}

func (l *memLog) Answer(id []byte, sum [32]byte, status int, body []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mute || l.full || l.loseFinal && status != 0 {
		return errors.New("the log cannot be written")
	}
	l.answers[string(id)] = memAnswer{sum, status, string(body)}
	return nil
}

// keeping is a harness with a real router and a log in memory.
type keeping struct {
	*harness
	log    *memLog
	router *router.Router
}

// quietRule keeps nothing of the channels whose names begin with quiet-.
var quietRule = router.HistoryRule{Match: "quiet-*"}

// keep starts a Server over a real router with a log.
func keep(t testing.TB, rules ...router.HistoryRule) *keeping {
	t.Helper()
	k := &keeping{harness: start(t), log: newMemLog()}
	k.over(router.Default().History, rules...)
	return k
}

// over puts a new router over the log, and a new server: a restart of the process.
func (k *keeping) over(defaults []router.HistoryRule, rules ...router.HistoryRule) {
	k.t.Helper()
	cfg := testRouterConfig()
	cfg.Log = k.log
	cfg.History = append(append(append([]router.HistoryRule(nil), rules...), quietRule), defaults...)
	var err error
	if k.router, err = router.New(cfg, noLoops{}, func() int64 { return 0 }); err != nil {
		k.t.Fatal(err)
	}
	if k.server, err = New(testConfig(), k.router, k.clock.Now); err != nil {
		k.t.Fatal(err)
	}
}

// restart ends the process and begins the next one over the same log.
func (k *keeping) restart() { k.over(router.Default().History) }

// wantPublished checks which channels got an event since the last look, in order.
func (k *keeping) wantPublished(channels ...string) {
	k.t.Helper()
	k.log.set(func(l *memLog) {
		if got, want := strings.Join(l.appended, " "), strings.Join(channels, " "); got != want {
			k.t.Errorf("published to %q, want %q", got, want)
		}
		l.appended = nil
	})
}

// fill publishes n events e1, e2, … to a channel.
func (k *keeping) fill(channel string, n int) {
	k.t.Helper()
	for i := range n {
		k.post(eventsPath, fmt.Sprintf(`{"name":"e%d","data":"{\"n\":%d}","channel":"%s"}`, i+1, i+1, channel)).want(k.t, 200, `{}`)
	}
	k.log.set(func(l *memLog) { l.appended = nil })
}

// postKeyed publishes a body with the header Idempotency-Key.
func (k *keeping) postKeyed(path, body string, keys ...string) reply {
	k.t.Helper()
	headers := make([]string, len(keys))
	for i, key := range keys {
		headers[i] = "Idempotency-Key: " + key
	}
	return k.do(raw("POST", path+"?"+sign(testKey, testSecret, "POST", path, "", body, k.clock.Now()), body, headers...), "POST")
}

// wantReplayed checks that an answer is, or is not, one that was given before.
func (r reply) wantReplayed(t testing.TB, replayed bool) {
	t.Helper()
	if got := r.header.Get("Idempotent-Replayed"); (got == "true") != replayed || got != "" && got != "true" {
		t.Errorf("Idempotent-Replayed is %q, want it there: %v", got, replayed)
	}
}
