package router

import (
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// rules is the list of history rules in force. Immutable.
type rules []HistoryRule

// DefaultRules keep the last minutes of every channel.
func DefaultRules() []HistoryRule {
	return []HistoryRule{{"*", Rule{Events: 1000, Age: 5 * time.Minute, Bytes: 4 << 20, Replay: true}}}
}

// of returns the first rule that matches a channel's name. Without a match nothing
// is kept.
func (rs rules) of(channel string) Rule {
	for i := range rs {
		if rs[i].Match == "*" || globMatch(rs[i].Match, channel) {
			return rs[i].Rule
		}
	}
	return Rule{}
}

// rule is the rule of a channel. A server without a log keeps nothing.
func (r *Router) rule(app *App, channel string) Rule {
	if r.log == nil || !keepable(app, channel) {
		return Rule{}
	}
	return r.settings.Load().rules.of(channel)
}

// maxKey is the longest key that a log has room for.
const maxKey = 512

// keepable tells whether a channel's name can be a key. Only channels of users with
// unusual ids cannot.
func keepable(app *App, channel string) bool {
	return len(app.id)+len(separator)+len(channel) <= maxKey && strings.IndexByte(channel, 0) < 0
}

// globMatch tells whether a pattern of literal characters, * and ? matches a whole
// text. The only choice that is ever taken back is the length of the last *, so its
// time is bounded by the product of the lengths.
func globMatch(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// Position is where a channel stands; kept is false for one without history. It may
// read the disk. Not on a loop.
func (r *Router) Position(app *App, channel string) (at Position, kept bool, err error) {
	if r.rule(app, channel).Events == 0 {
		return Position{}, false, nil
	}
	dir := app.dir.shard(channel)
	dir.mu.Lock()
	if ch := dir.channels[channel]; ch != nil && ch.at.Epoch != "" {
		at = ch.at
	}
	dir.mu.Unlock()
	if at.Epoch != "" {
		return at, true, nil
	}
	at, err = r.log.Load(logKey(app, channel))
	return at, true, err
}

// StoredEvent is one event of a channel's history.
type StoredEvent struct {
	Seq    uint64
	Name   string
	Data   string
	TimeMS int64 // Unix milliseconds
}

// HistoryPage is a part of a channel's history.
type HistoryPage struct {
	At     Position // the head
	Oldest uint64   // first number that is kept; one more than the head when none is
	Events []StoredEvent
	Reason string // why there are none; "" = they are what was asked for
}

// History reads up to limit events after a position; with epoch "" from the oldest
// one on. It may read the disk. Not on a loop.
func (r *Router) History(app *App, channel, epoch string, from uint64, limit int) HistoryPage {
	rule := r.rule(app, channel)
	if rule.Events == 0 {
		return HistoryPage{Reason: ReasonOff}
	}
	var page HistoryPage
	page.At, page.Oldest, page.Reason = r.log.History(logKey(app, channel), rule, epoch, from, epoch == "", limit, func(e LogEvent) bool {
		ev, ok := readStored(e)
		if ok {
			page.Events = append(page.Events, ev)
		}
		return ok
	})
	return page
}

// readStored takes a stored event apart again.
func readStored(e LogEvent) (StoredEvent, bool) {
	text, _ := frame.ServerPayload(e.Payload)
	var d pusher.Decoder
	var m pusher.Message
	if d.Decode(text, &m) != nil {
		return StoredEvent{}, false
	}
	data, err := d.String(m.Data)
	return StoredEvent{Seq: e.Seq, Name: string(m.Event), Data: data, TimeMS: e.TimeMS}, err == nil
}

// Answered finds what a request with an idempotency key was answered before. Not on
// a loop. Without a log nothing is remembered.
func (r *Router) Answered(app *App, key []byte) (sum [32]byte, status int, body []byte, found bool, err error) {
	if r.log == nil {
		return sum, 0, nil, false, nil
	}
	return r.log.Answered(answerID(app, key))
}

// Answer remembers an answer under an idempotency key. Not on a loop.
func (r *Router) Answer(app *App, key []byte, sum [32]byte, status int, body []byte) error {
	if r.log == nil {
		return ErrLogUnavailable
	}
	return r.log.Answer(answerID(app, key), sum, status, body)
}

// KeepsDurably tells whether durable events can be taken at all.
func (r *Router) KeepsDurably() bool {
	return r.log != nil && (r.broker == nil || r.broker.KeepsDurably())
}

// Keeps tells whether there is a log.
func (r *Router) Keeps() bool { return r.log != nil }

func answerID(app *App, key []byte) []byte {
	return append(append(append([]byte(nil), app.id...), separator...), key...)
}
