package router

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/router/auth"
	"github.com/holdfast-edge/holdfast/tuning/offheap"
)

// Router is the state that all loops share. Its exported methods may be called
// from any goroutine, New and Shard before the loops start.
type Router struct {
	// Immutable after New.
	loops         Loops
	clock         func() int64          // monotonic ns since the process started
	broker        Broker                // nil = the server stands alone
	log           Log                   // nil = no history; the broker, if there is one
	checkSession  func(id string) error // nil = no session id is valid
	socketIDs     *auth.SocketIDs
	sessions      *offheap.Table[session] // by slot; a record belongs to its connection's loop
	shards        []*Shard                // by loop
	memberships   int                     // most subscriptions one loop can hold
	backlogEvents int64
	backlogBytes  int64

	// Atomic; any goroutine.
	settings  atomic.Pointer[settings]
	deflaters atomic.Int64 // connections that negotiated deflate
	closing   atomic.Bool  // CloseAll was called
	stats     routerStats

	jobs  jobs  // behind its own lock
	tally tally // behind its own lock

	reload  sync.Mutex // one Reload at a time
	texts   sync.Pool  // *[]byte: room for encoding
	groups  sync.Pool  // *publishGroup
	zippers sync.Pool  // *frame.Deflater
}

// settings is what a reload replaces as a whole. Immutable once stored.
type settings struct {
	limits Limits
	rules  rules
	apps   []*App // by App.index; those that were removed stay, disabled
	byID   map[string]*App
	byKey  map[string]*App
}

// maxMemberships bounds the reservation of address space per loop: 4 GiB.
const maxMemberships = 1 << 24

// New makes a router. clock returns monotonic nanoseconds since the process
// started, the same time that the transport hands to the shards.
func New(cfg Config, loops Loops, clock func() int64) (*Router, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Router{
		loops: loops, clock: clock, log: cfg.Log, checkSession: cfg.CheckSession,
		socketIDs:     auth.NewSocketIDs(cfg.SocketIDKey, cfg.Node),
		memberships:   int(min(int64(cfg.Slots)*int64(cfg.Limits.Subscriptions), maxMemberships)),
		backlogEvents: int64(cfg.BacklogEvents),
		backlogBytes:  int64(cfg.BacklogBytes),
		texts:         sync.Pool{New: func() any { return new([]byte) }},
		groups:        sync.Pool{New: func() any { return new(publishGroup) }},
		zippers:       sync.Pool{New: func() any { return frame.NewDeflater() }},
	}
	if r.broker = cfg.Broker; r.broker != nil {
		r.log = r.broker
		r.jobs.most = brokerWorkers
		r.tally = newTally()
	}
	r.stats.recipients = newRecipients()
	var err error
	if r.sessions, err = offheap.NewTable[session](cfg.Slots); err != nil {
		return nil, fmt.Errorf("router: session table: %w", err)
	}
	for id := range loops.Count() {
		s, err := newShard(r, id)
		if err != nil {
			return nil, fmt.Errorf("router: memberships of loop %d: %w", id, err)
		}
		r.shards = append(r.shards, s)
	}
	next, _, err := (&settings{}).with(cfg)
	if err != nil {
		return nil, err
	}
	r.settings.Store(next)
	if r.broker != nil {
		r.broker.Begin(r)
	}
	return r, nil
}

// Shard returns the part of a loop and tells it its connections.
func (r *Router) Shard(loop int, conns Conns) *Shard {
	s := r.shards[loop]
	s.conns = conns
	return s
}

// AppByID finds an application by the id in API paths.
func (r *Router) AppByID(id string) (*App, bool) {
	app, ok := r.settings.Load().byID[id]
	return app, ok
}

// AppByKey finds an application by the key that clients and API requests name.
func (r *Router) AppByKey(key string) (*App, bool) {
	app, ok := r.settings.Load().byKey[key]
	return app, ok
}

// Limits are the limits in force.
func (r *Router) Limits() Limits { return r.settings.Load().limits }

// limits is Limits without the copy; the value is immutable.
func (r *Router) limits() *Limits { return &r.settings.Load().limits }

func (r *Router) app(index int) *App { return r.settings.Load().apps[index] }

// allApps lists every application that ever was, by index.
func (r *Router) allApps() []*App { return r.settings.Load().apps }

// Connections is the number of established connections of an application.
func (r *Router) Connections(app *App) int { return int(app.connections.Load()) }

// CloseAll ends every connection: pusher:error and close 4200, so that clients come
// back at once, to the process that follows or to another node. Connections that
// still arrive are refused with 4100.
func (r *Router) CloseAll() {
	r.closing.Store(true)
	r.closeAll(nil, frame.Drain)
}

func (r *Router) closeAll(app *App, reason frame.CloseReason) {
	for loop := range r.shards {
		r.loops.MustPost(loop, opCloseAll, 0, &closing{app: app, reason: reason})
	}
}
