package router

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// cacheStore keeps the last event of each cache channel of one directory shard,
// with or without subscribers. Guarded by the shard's lock.
//
// Memory is bounded by time: an event is dropped when its time is over even if
// nobody ever subscribes (sweepLocked, by the loops' ticks). All events live
// equally long, so the list is ordered by expiry.
type cacheStore struct {
	events       map[string]*cachedEvent // by channel name
	oldest, last *cachedEvent            // list, oldest first

	size atomic.Int64 // len(events), so that a sweep of nothing takes no lock
}

// cachedEvent is the last event of one cache channel. Immutable but for its links,
// which the directory lock guards.
type cachedEvent struct {
	channel, name, data string
	seq                 uint64 // 0 = it has no number
	expires             int64  // monotonic ns

	older, newer *cachedEvent
}

// putLocked makes an event the channel's last one.
func (c *cacheStore) putLocked(now int64, ttl time.Duration, channel, name, data string, seq uint64) {
	if old := c.events[channel]; old != nil {
		c.dropLocked(old)
	}
	if c.events == nil {
		c.events = map[string]*cachedEvent{}
	}
	e := &cachedEvent{channel: channel, name: name, data: data, seq: seq, expires: now + int64(ttl), older: c.last}
	if c.last != nil {
		c.last.newer = e
	} else {
		c.oldest = e
	}
	c.last = e
	c.events[channel] = e
	c.size.Store(int64(len(c.events)))
}

// getLocked is the channel's last event; nil when there is none or its time is over.
func (c *cacheStore) getLocked(now int64, channel string) *cachedEvent {
	e := c.events[channel]
	if e == nil || e.expires <= now {
		return nil
	}
	return e
}

// sweepLocked drops up to max events whose time is over.
func (c *cacheStore) sweepLocked(now int64, max int) {
	for ; max > 0 && c.oldest != nil && c.oldest.expires <= now; max-- {
		c.dropLocked(c.oldest)
	}
}

func (c *cacheStore) dropLocked(e *cachedEvent) {
	delete(c.events, e.channel)
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		c.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		c.last = e.older
	}
	e.older, e.newer = nil, nil
	c.size.Store(int64(len(c.events)))
}

// cachedLocked is the message with which a subscriber gets a cache channel's last
// event; nil when there is none. What was published since the start is in memory;
// what was there before is in the log.
func (r *Router) cachedLocked(dir *dirShard, app *App, channel string, now int64) []byte {
	if e := dir.cache.getLocked(now, channel); e != nil {
		return pusher.AppendEvent(nil, e.name, e.channel, e.data, pusher.EventOptions{Seq: e.seq, Cached: true})
	}
	if r.log == nil {
		return nil
	}
	e, _, ok := r.log.Last(logKey(app, channel))
	if !ok {
		return nil
	}
	text, _ := frame.ServerPayload(e.Payload)
	return append(append([]byte(nil), text[:len(text)-1]...), `,"cached":true}`...)
}
