package router

import (
	"fmt"
	"time"
)

// memLog is a Log in memory, with the faults that a test asks for. Not safe for
// concurrent use.
type memLog struct {
	life     string
	answers  map[string]memAnswer
	channels map[string]*memChannel
	cold     map[string]bool // keys that only Load can tell of
	coldRead bool            // Hot finds nothing
	coldKey  string          // Hot finds nothing of this key
	loads    int
	blocks   int // calls of Block
	full     bool
	down     bool // Load and Recover fail
	held     []func()
	hold     bool          // Done waits for release
	appended chan struct{} // told after each Append; nil = nobody asks
	epochs   int
	nowMS    int64
}

type memChannel struct {
	at     Position
	events []memEvent // consecutive
	last   *memEvent
	keys   map[string]LogResult
}

type memEvent struct {
	LogEvent
	origin string
}

func newMemLog() *memLog {
	return &memLog{life: "lifelife1", channels: map[string]*memChannel{}, cold: map[string]bool{}, answers: map[string]memAnswer{}}
}

func withLog(l *memLog, rules ...HistoryRule) option {
	return func(c *Config) {
		c.Log = l
		if len(rules) > 0 {
			c.History = rules
		}
	}
}

func (l *memLog) channel(key string) *memChannel {
	if l.channels[key] == nil {
		l.channels[key] = &memChannel{at: Position{Epoch: l.life}, keys: map[string]LogResult{}}
	}
	return l.channels[key]
}

func (l *memLog) Append(batch []LogAppend) error {
	for _, a := range batch {
		if a.Durable && l.full {
			return ErrLogUnavailable
		}
	}
	for _, a := range batch {
		res := l.append(a)
		done := func() { a.Item.Done(res) }
		if l.hold {
			l.held = append(l.held, done)
			continue
		}
		done()
	}
	if l.appended != nil {
		l.appended <- struct{}{}
	}
	return nil
}

// release hands out what was held.
func (l *memLog) release() {
	held := l.held
	l.held = nil
	for _, done := range held {
		done()
	}
}

func (l *memLog) append(a LogAppend) LogResult {
	c := l.channel(a.Key)
	if former, ok := c.keys[string(a.IdempotencyKey)]; ok && a.IdempotencyKey != nil {
		former.Duplicate = true
		return former
	}
	if l.full {
		c.at.Broken = true
		return LogResult{Payload: a.Item.AppendPayload(nil, "", 0)}
	}
	if a.Rule.Events == 0 {
		p := a.Item.AppendPayload(nil, "", 0)
		if a.Cache > 0 {
			c.last = &memEvent{LogEvent: LogEvent{Payload: p}}
		}
		return LogResult{Payload: p, Logged: true}
	}
	if c.at.Broken {
		l.epochs++
		c.at = Position{Epoch: fmt.Sprintf("epoch%05d", l.epochs), Start: c.at.Seq, Seq: c.at.Seq}
	}
	c.at.Seq++
	e := memEvent{LogEvent{Seq: c.at.Seq, TimeMS: l.nowMS, Payload: a.Item.AppendPayload(nil, c.at.Epoch, c.at.Seq)}, a.Origin}
	c.events = append(c.events, e)
	for len(c.events) > a.Rule.Events {
		c.events = c.events[1:]
	}
	if a.Cache > 0 {
		c.last = &e
	}
	res := LogResult{Epoch: c.at.Epoch, Start: c.at.Start, Seq: c.at.Seq, Payload: e.Payload, Logged: true}
	if a.IdempotencyKey != nil {
		c.keys[string(a.IdempotencyKey)] = res
	}
	return res
}

func (l *memLog) Head(key string) (Position, bool) {
	return l.channel(key).at, !l.cold[key]
}

func (l *memLog) Load(key string) (Position, error) {
	l.loads++
	if l.down {
		return Position{}, fmt.Errorf("the log is down")
	}
	delete(l.cold, key)
	return l.channel(key).at, nil
}

func (l *memLog) Last(key string) (LogEvent, time.Duration, bool) {
	c := l.channel(key)
	if l.cold[key] || c.last == nil {
		return LogEvent{}, 0, false
	}
	return c.last.LogEvent, time.Minute, true
}

func (l *memLog) Recover(key string, rule Rule, epoch string, from uint64, max int) (Position, string) {
	c := l.channel(key)
	reason := refuses(c.at, epoch, from)
	switch {
	case l.down:
		reason = ReasonUnavailable
	case reason != "":
	case from < c.oldest()-1:
		reason = ReasonExpired
	case c.at.Seq-from > uint64(max):
		reason = ReasonTooMany
	}
	return c.at, reason
}

// oldest is the first number that is kept, one more than the head when none is.
func (c *memChannel) oldest() uint64 { return c.at.Seq + 1 - uint64(len(c.events)) }

func (l *memLog) Rewind(key string, rule Rule, events int, age time.Duration) (Position, uint64) {
	c := l.channel(key)
	n := 0
	for n < len(c.events) && (events == 0 || n < events) {
		if age > 0 && c.events[len(c.events)-1-n].TimeMS < l.nowMS-age.Milliseconds() {
			break
		}
		n++
	}
	return c.at, c.at.Seq - uint64(n)
}

func (l *memLog) Block(key string, seq uint64) (LogBlock, error) {
	l.blocks++
	b := l.block(key, seq)
	if b == nil {
		return nil, ErrGone
	}
	return b, nil
}

func (l *memLog) Hot(key string, seq uint64) LogBlock {
	if l.coldRead || l.coldKey == key {
		return nil
	}
	if b := l.block(key, seq); b != nil {
		return b
	}
	return nil
}

func (l *memLog) block(key string, seq uint64) LogBlock {
	c := l.channel(key)
	oldest := c.oldest()
	if seq < oldest || seq > c.at.Seq {
		return nil
	}
	first := max(oldest, (seq-1)/runEvents*runEvents+1)
	last := min(c.at.Seq, (seq-1)/runEvents*runEvents+runEvents)
	return &memBlock{first, c.events[first-oldest : last-oldest+1]}
}

func (l *memLog) History(key string, rule Rule, epoch string, from uint64, all bool, limit int, visit func(LogEvent) bool) (Position, uint64, string) {
	c := l.channel(key)
	if !all {
		if reason := refuses(c.at, epoch, from); reason != "" {
			return c.at, c.oldest(), reason
		}
		if from < c.oldest()-1 {
			return c.at, c.oldest(), ReasonExpired
		}
	}
	for _, e := range c.events {
		if e.Seq > from && limit > 0 {
			limit--
			if !visit(e.LogEvent) {
				break
			}
		}
	}
	return c.at, c.oldest(), ""
}

type memBlock struct {
	first  uint64
	events []memEvent
}

func (b *memBlock) Span() (first, last uint64) { return b.first, b.first + uint64(len(b.events)) - 1 }
func (b *memBlock) Origin(seq uint64) string   { return b.events[seq-b.first].origin }
func (b *memBlock) Frames(from, to uint64) (p []byte) {
	for _, e := range b.events[from-b.first : to-b.first+1] {
		p = append(p, e.Payload...)
	}
	return p
}

func (l *memLog) Answered(id []byte) (sum [32]byte, status int, body []byte, found bool, err error) {
	a, ok := l.answers[string(id)]
	return a.sum, a.status, a.body, ok, nil
}

func (l *memLog) Answer(id []byte, sum [32]byte, status int, body []byte) error {
	l.answers[string(id)] = memAnswer{sum, status, body}
	return nil
}

type memAnswer struct {
	sum    [32]byte
	status int
	body   []byte
}
