package router

import (
	"strings"
	"sync/atomic"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// Event is one publish request: the same event for each of its channels.
type Event struct {
	Name     string
	Data     string   // handed to clients byte for byte
	Channels []string // names, already checked by the caller
	Except   string   // socket id that is skipped; "" or an unknown one skips nobody
	// Durable makes Publish return only when the event is on the disk.
	Durable bool
	// IdempotencyKey is kept with the event in each channel that the event reaches; an
	// event that finds its key there is a duplicate. nil = none.
	IdempotencyKey []byte

	// Receipts is filled by Publish, one for each channel, when there is a log.
	Receipts []Receipt
	only     [1]Receipt // their array, of a single channel

	source publishSource
	sender connRef // client events: the connection that sent it
	userID string  // client events on presence channels: who that is
}

// Publish hands an event to the subscribers of its channels. The caller has checked
// names and sizes against Limits. It returns ErrBusy, and has then delivered
// nothing, when a loop that would have to deliver it is too far behind, or too much
// waits for the log; ErrLogUnavailable when a durable event cannot be kept;
// ErrBrokerUnavailable when the broker of a cluster is away, which is ErrUnanswered when
// the event may be delivered all the same. Not on a loop.
func (r *Router) Publish(app *App, ev *Event) error {
	if r.log == nil {
		return r.deliver(app, ev)
	}
	return r.publishLogged(app, []*Event{ev})
}

// PublishAll is Publish for several events, in their order. With a log, all of them
// are queued or none, and a durable batch waits for one sync.
func (r *Router) PublishAll(app *App, events []*Event) error {
	if r.log != nil {
		return r.publishLogged(app, events)
	}
	for _, ev := range events {
		if err := r.deliver(app, ev); err != nil {
			return err
		}
	}
	return nil
}

// delivery is one event of one channel, encoded once, on its way to the loops.
// Immutable but for left.
type delivery struct {
	prepared *frame.Prepared
	except   connRef // not delivered to this connection; zero = to all
	kind     sentKind
	app      *App
	size     int64    // bytes of the frame
	payload  int      // bytes of the message in it
	began    int64    // monotonic ns of the publish
	origin   string   // socket id that it was not for
	position Position // to which the event moves its channel; Epoch "" = it does not
	seq      uint64   // 0 = the event has no number
	// breaks: whoever is behind when the event comes cannot go on from the log.
	breaks bool

	left atomic.Int32 // loops whose walk has not ended
}

// newDelivery encodes a message of the router's own. It starts on a loop and is
// small, so it is not deflated: that would hold up the loop, and a plain message is
// always allowed.
func (r *Router) newDelivery(app *App, kind sentKind, text []byte, began int64) *delivery {
	p := frame.Prepare(frame.OpText, text)
	return &delivery{prepared: p, kind: kind, app: app, size: int64(len(p.Plain)), payload: len(text), began: began}
}

// deliver puts an event into the order of each of its channels.
func (r *Router) deliver(app *App, ev *Event) error {
	if r.busyFor(app, ev.Channels) {
		return ErrBusy
	}
	now := r.clock()
	except := r.exceptOf(ev)
	for _, channel := range ev.Channels {
		app.published[ev.source].Add(1)
		r.deliverTo(app, ev, channel, except, now)
	}
	return nil
}

// deliverTo handles one channel. The event is encoded between two looks at the
// directory: not at all for a channel without subscribers, and never under the lock.
func (r *Router) deliverTo(app *App, ev *Event, channel string, except connRef, now int64) {
	dir := app.dir.shard(channel)
	keep := ev.cacheable(channel)

	dir.mu.Lock()
	if dir.channels[channel] == nil {
		if keep {
			dir.cache.putLocked(now, r.limits().CacheTTL, channel, ev.Name, ev.Data, 0)
		}
		dir.mu.Unlock()
		r.stats.recipients.observe(0)
		return
	}
	dir.mu.Unlock()

	d := r.encode(app, ev, channel, now)
	d.except = except

	dir.mu.Lock()
	defer dir.mu.Unlock()
	if keep {
		dir.cache.putLocked(now, r.limits().CacheTTL, channel, ev.Name, ev.Data, 0)
	}
	members := uint32(0)
	if ch := dir.channels[channel]; ch != nil {
		members = ch.members
		r.postLocked(ch, d)
	}
	r.stats.recipients.observe(int64(members))
}

// cacheable tells whether the event becomes a cache channel's last one: what the
// application published does, what clients or the protocol say does not.
func (ev *Event) cacheable(channel string) bool {
	return ev.source != sourceClient && pusher.KindOf(channel)&pusher.Cache != 0 &&
		!reserved(ev.Name)
}

// reserved tells whether an event name is the protocol's own.
func reserved(name string) bool {
	return strings.HasPrefix(name, "pusher:") || strings.HasPrefix(name, "pusher_internal:")
}

// encode makes the one encoding of an event that all its receivers share. An event
// from outside the loops is also deflated, if anybody could read that.
func (r *Router) encode(app *App, ev *Event, channel string, now int64) *delivery {
	buf := r.texts.Get().(*[]byte)
	defer r.texts.Put(buf)
	*buf = pusher.AppendEvent((*buf)[:0], ev.Name, channel, ev.Data, pusher.EventOptions{UserID: ev.userID})
	kind := sentEvent
	if ev.source == sourceClient {
		kind = sentClientEvent
	}
	d := r.newDelivery(app, kind, *buf, now)
	if ev.source != sourceClient && len(*buf) > deflateOver && r.deflaters.Load() > 0 {
		z := r.zippers.Get().(*frame.Deflater)
		d.prepared.Deflate(z, deflateOver)
		r.zippers.Put(z)
	}
	return d
}

// deflateOver is the size in bytes from which on a message is worth deflating.
const deflateOver = 256

// busyFor tells whether a loop with members of one of the channels is over its
// backlog. It looks at the channels only when some loop is.
func (r *Router) busyFor(app *App, channels []string) bool {
	some := false
	for _, s := range r.shards {
		some = some || s.backlog.over(r.backlogEvents, r.backlogBytes)
	}
	if !some {
		return false
	}
	for _, channel := range channels {
		if r.channelBusy(app, channel) {
			return true
		}
	}
	return false
}

func (r *Router) channelBusy(app *App, channel string) bool {
	dir := app.dir.shard(channel)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	ch := dir.channels[channel]
	if ch == nil {
		return false
	}
	for _, l := range ch.loopsLocked() {
		if r.shards[l.loop].backlog.over(r.backlogEvents, r.backlogBytes) {
			return true
		}
	}
	return false
}
