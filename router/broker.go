package router

import (
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// Broker is a Log that the nodes of a cluster share, and the way on which its events
// reach each of them. nil in Config is a server that stands alone, whose Log hands its
// own events out; both keep the same contract:
//
// Order. Events of one channel have one order, the same on every node, and their
// numbers have no holes inside an epoch. Nothing is said about the order of two
// channels.
//
// Atomicity. The events of one Append that are of one channel get consecutive places.
// Append answers when each event has its place or a reason why not; an event that was
// refused has no number and reaches nobody. An event that is Done with ErrUnanswered may
// have its place all the same, or get it yet, behind later ones: an idempotency key makes
// a second attempt safe.
//
// Hand-out. What got a place is handed to every node that follows the channel: by Done
// on a server alone, by Receiver in a cluster. A node never hands an event out before
// all that precede it in its epoch.
//
// What may be lost. Never an event inside an epoch: where one cannot be had any more,
// the epoch changes, or Received says that some were lost. Events of clients have no
// place; they are lost while the broker is away.
type Broker interface {
	Log

	// Begin is called once, before anything else; everything that comes is handed to r.
	Begin(r Receiver)
	// Follow tells that this node has subscribers of a channel from now on, and Unfollow
	// that it has none any more. A channel that Load was called for is followed for at
	// least ten seconds after the last question for its Head. Both are called under a lock
	// and never block.
	Follow(key string)
	Unfollow(key string)
	// Relay carries a client's event, a whole message, to the other nodes. It never
	// blocks. ErrBrokerUnavailable, ErrBusy: it does not, and nobody may get the event.
	Relay(key string, text []byte) error

	// Enter says that a connection of this node is a user's in a presence channel, and
	// Leave that it is no longer; a user who comes back within two seconds has not left.
	// most bounds the users of the channel on all nodes. Enter returns when this node has
	// handed the user out, like any other change of the list (Receiver.Present); it may
	// wait for Redis, Leave never does. ErrPresenceFull, ErrBrokerUnavailable: it is not
	// said. Members is the list that this node was handed last.
	Enter(key string, m pusher.Member, most int) error
	Leave(key, userID string)
	Members(key string) (version uint64, list []pusher.Member)
	// Tell says something to every node that follows a channel, this one included
	// (Receiver.Told). It may wait.
	Tell(key, what string) error
	// Ask puts a question to every node that lives, this one included (Receiver.Reply),
	// and returns their answers: all, or ErrBrokerUnavailable. It may wait.
	Ask(what []byte) ([][]byte, error)
	// KeepsDurably tells whether durable events are taken.
	KeepsDurably() bool
}

// OnlinePrefix begins the names of channels that no client can name: the user behind it
// is there while signed in on some node.
const OnlinePrefix = "#online-"

// Receiver is the node that a broker hands events to. Its methods never block. Of one
// channel no two are called at once, but for Told and events of clients, which come when
// they come.
type Receiver interface {
	// Receive hands an event out.
	Receive(Received)
	// Stand tells where a channel stands of which the broker could not tell before, whose
	// continuity ended, or whose events begin to have numbers. What the position counts may
	// not have been handed out.
	Stand(key string, at Position)
	// Present tells who came to and who went from a presence channel. version is that of
	// Members with the change; one that is not above the last is of before.
	Present(key string, version uint64, joined []pusher.Member, left []string)
	// Told is what a node said with Tell.
	Told(key, what string)
	// Reply answers what a node asked with Ask.
	Reply(what []byte) []byte
	// Gone tells that a node has gone, with whatever it had. self: it is this one that the
	// others took for gone, and that is there again.
	Gone(self bool)
	// RuleOf is how much of a channel is kept.
	RuleOf(key string) Rule
	// CacheTTL is how long a cache channel's last event lives.
	CacheTTL() time.Duration
}

// Received is an event of a channel that the node follows.
type Received struct {
	Key    string
	Epoch  string
	Start  uint64
	Seq    uint64 // 0 = it has no number
	Origin string // socket id that it is not for
	Text   []byte // the message up to its number (MessageStart); kept
	// Client: a client of another node sent it; Text is the whole message.
	Client bool
	// Lost: events in front of it, of the same epoch, cannot be had any more.
	Lost bool
}

// splitKey takes a key apart again (LogKey).
func (r *Router) splitKey(key string) (app *App, channel string, ok bool) {
	id, channel, ok := strings.Cut(key, separator)
	if !ok {
		return nil, "", false
	}
	app, ok = r.AppByID(id)
	return app, channel, ok
}

// Receive implements Receiver.
func (r *Router) Receive(e Received) {
	app, channel, ok := r.splitKey(e.Key)
	if !ok {
		return
	}
	dir := app.dir.shard(channel)
	dir.mu.Lock()
	occupied := dir.channels[channel] != nil
	dir.mu.Unlock()
	if !occupied {
		return
	}
	d := r.receivedDelivery(app, &e)
	res := LogResult{Epoch: e.Epoch, Start: e.Start, Seq: e.Seq, Logged: true}
	dir.mu.Lock()
	defer dir.mu.Unlock()
	ch := dir.channels[channel]
	if ch == nil {
		return
	}
	if e.Lost {
		r.announceEpochLocked(ch, res)
	}
	r.handOutLocked(ch, Rule{}, d, res)
	r.stats.recipients.observe(int64(ch.members))
}

// receivedDelivery is an event as the loops get it. It is deflated here, once a node, if
// anybody could read that.
func (r *Router) receivedDelivery(app *App, e *Received) *delivery {
	now := r.clock()
	if e.Client {
		return r.newDelivery(app, sentClientEvent, e.Text, now)
	}
	d := &delivery{
		kind: sentEvent, app: app, except: r.connOf(e.Origin), origin: e.Origin,
		payload: len(e.Text) + 1, began: now, seq: e.Seq,
	}
	d.prepared = &frame.Prepared{Plain: AppendStored(nil, e.Text, e.Seq)}
	d.size = int64(len(d.prepared.Plain))
	if e.Seq != 0 {
		d.position = Position{Epoch: e.Epoch, Start: e.Start, Seq: e.Seq}
	}
	if deflated := r.deflateStart(e.Text); deflated != nil {
		d.prepared.Deflated = frame.AppendDeflatedFrame(nil, frame.OpText, deflated, pusher.AppendEventTail(nil, e.Seq))
	}
	return d
}

// Stand implements Receiver.
func (r *Router) Stand(key string, at Position) {
	app, channel, ok := r.splitKey(key)
	if !ok {
		return
	}
	dir := app.dir.shard(channel)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	ch := dir.channels[channel]
	if ch == nil || at.Epoch == "" || ch.at.Epoch == at.Epoch && ch.at.Seq >= at.Seq && !ch.at.Broken {
		return
	}
	r.announceEpochLocked(ch, LogResult{Epoch: at.Epoch, Start: at.Start, Seq: at.Seq + 1})
	ch.at = at
}

// Present implements Receiver.
func (r *Router) Present(key string, version uint64, joined []pusher.Member, left []string) {
	app, channel, ok := r.splitKey(key)
	if !ok {
		return
	}
	if id, ok := strings.CutPrefix(channel, OnlinePrefix); ok {
		r.online(app, id, version, len(joined) > 0, len(left) > 0)
		return
	}
	dir := app.dir.shard(channel)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	ch := dir.channels[channel]
	if ch == nil || ch.presenceLocked() == nil || !ch.presenceLocked().moveLocked(version) {
		return
	}
	p, now := ch.presenceLocked(), r.clock()
	var text []byte
	for _, m := range joined {
		if p.addLocked(m) {
			text = pusher.AppendMemberAdded(text[:0], channel, m)
			r.postLocked(ch, r.newDelivery(app, sentPresence, text, now))
		}
	}
	for _, id := range left {
		if p.removeLocked(id) {
			text = pusher.AppendMemberRemoved(text[:0], channel, id)
			r.postLocked(ch, r.newDelivery(app, sentPresence, text, now))
		}
	}
}

// RuleOf implements Receiver.
func (r *Router) RuleOf(key string) Rule {
	app, channel, ok := r.splitKey(key)
	if !ok || strings.HasPrefix(channel, OnlinePrefix) {
		return Rule{}
	}
	return r.rule(app, channel)
}

// CacheTTL implements Receiver.
func (r *Router) CacheTTL() time.Duration { return r.limits().CacheTTL }

// MessageStart is an event's message up to its number, out of what
// LogItem.AppendPayload made for an event without one.
func MessageStart(payload []byte) []byte {
	text, _ := frame.ServerPayload(payload)
	return text[:len(text)-1]
}

// AppendStored appends what AppendPayload makes of the same event with a number: a
// whole frame.
func AppendStored(dst, start []byte, seq uint64) []byte {
	var room [maxEnd]byte
	end := pusher.AppendEventTail(room[:0], seq)
	dst = frame.AppendHeader(dst, true, false, frame.OpText, len(start)+len(end))
	dst = append(dst, start...)
	return append(dst, end...)
}
