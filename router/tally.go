package router

import (
	"crypto/rand"
	"slices"
	"sync"

	"github.com/holdfast-edge/holdfast/frame/pusher"
)

// In a cluster the subscribers of a channel are told how many they are on all nodes. A
// node whose own number has changed asks the others for theirs, once a second for all its
// channels together, and tells its subscribers the sum; the question makes the others do
// the same for theirs.

// tally is what is to be counted. A lock behind all others.
type tally struct {
	self string // names this node in its questions; immutable

	mu   sync.Mutex
	due  map[string]bool // guarded by mu: by key; true: this node's own number has changed
	busy bool            // guarded by mu: a job counts
}

// tallyMost bounds the channels of one question.
const tallyMost = 256

func newTally() tally { return tally{self: rand.Text(), due: map[string]bool{}} }

// mark has a channel counted soon.
func (t *tally) mark(key string, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due[key] = t.due[key] || changed
}

// take removes what is due, to be counted now.
func (t *tally) take() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	due := t.due
	t.due = map[string]bool{}
	return due
}

// begin tells whether there is something to count that nobody is about.
func (t *tally) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy || len(t.due) == 0 {
		return false
	}
	t.busy = true
	return true
}

func (t *tally) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
}

// countEverywhere begins to count what is due. Once a second, on one loop.
func (r *Router) countEverywhere(now int64) {
	if r.broker == nil || !r.tally.begin() {
		return
	}
	r.jobs.run(func() {
		defer r.tally.end()
		r.countDue(now)
	})
}

// asking is a question about channels of one application.
type asking struct {
	app     *App
	changed bool
}

// countDue asks for what is due and tells the sums. What cannot be asked now, or is told
// too often, waits for the next second.
func (r *Router) countDue(now int64) {
	lists := map[asking][]string{}
	for key, changed := range r.tally.take() {
		app, channel, ok := r.splitKey(key)
		switch {
		case !ok || !app.counts(pusher.KindOf(channel)):
		case r.countWaits(app, channel, now):
			r.tally.mark(key, changed)
		default:
			lists[asking{app, changed}] = append(lists[asking{app, changed}], channel)
		}
	}
	for a, list := range lists {
		for some := range slices.Chunk(list, tallyMost) {
			rows, err := r.askAll(question{what: askCounts, changed: a.changed, app: a.app.id, name: joinTexts(r.tally.self, some)})
			for _, channel := range some {
				if err != nil {
					r.tally.mark(logKey(a.app, channel), a.changed)
					continue
				}
				r.tellCount(a.app, channel, uint32(rows[channel].members), a.changed)
			}
		}
	}
}

// countWaits tells whether a large channel was told its count a moment ago.
func (r *Router) countWaits(app *App, channel string, now int64) bool {
	dir := app.dir.shard(channel)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	ch := dir.channels[channel]
	if ch == nil || ch.extra == nil {
		return false
	}
	c := &ch.extra.count
	return c.told > countFreely && now-c.at < int64(countEvery)
}

// tellCount tells the subscribers of this node how many there are on all.
func (r *Router) tellCount(app *App, channel string, n uint32, changed bool) {
	dir := app.dir.shard(channel)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	ch := dir.channels[channel]
	if ch == nil {
		return
	}
	c := &ch.extraLocked().count
	c.others = n - min(n, ch.members)
	if changed || c.told != n {
		r.tellCountLocked(ch, c, n, r.clock(), nil)
	}
}

// replyCounts answers how many subscribers channels have here, and has those counted
// whose number has changed at who asks.
func (r *Router) replyCounts(dst []byte, app *App, q question) []byte {
	from, rest, err := cutText([]byte(q.name))
	for n := 0; err == nil && len(rest) > 0 && n < tallyMost; n++ {
		var channel string
		if channel, rest, err = cutText(rest); err != nil {
			break
		}
		dir := app.dir.shard(channel)
		dir.mu.Lock()
		info := infoLocked(dir.channels[channel], InfoSubscriptionCount)
		dir.mu.Unlock()
		if !info.Occupied {
			continue
		}
		dst = appendRow(dst, row{name: channel, members: uint64(info.SubscriptionCount)})
		if q.changed && from != r.tally.self {
			r.tally.mark(logKey(app, channel), false)
		}
	}
	return dst
}

func joinTexts(first string, rest []string) string {
	b := appendText(nil, first)
	for _, s := range rest {
		b = appendText(b, s)
	}
	return string(b)
}

// Gone implements Receiver.
func (r *Router) Gone(self bool) {
	for _, app := range r.allApps() {
		if !app.conf.Load().SubscriptionCount {
			continue
		}
		for i := range app.dir.shards {
			dir := &app.dir.shards[i]
			dir.mu.Lock()
			for _, ch := range dir.channels {
				if self || ch.extra != nil && ch.extra.count.others > 0 {
					r.tally.mark(logKey(app, ch.name), self)
				}
			}
			dir.mu.Unlock()
		}
	}
}
