package router

import (
	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
	"github.com/holdfast-edge/holdfast/tuning/offheap"
)

// Shard is the router's part of one loop: the sessions of its connections and
// their memberships. Every method runs on the loop's goroutine.
//
// Monotonic nanoseconds since the process started are called now; a conn is the
// connection's slot, which names it from Open until Closed has returned.
type Shard struct {
	// Immutable after construction.
	r     *Router
	id    int
	conns Conns

	// Owned by the loop.
	owner    invariant.Owner
	taken    bool // the loop's goroutine has made itself known to owner
	now      int64
	sessions sessionList
	nodes    *offheap.Pool[membership]
	locals   *offheap.Pool[localChannel]
	arrays   *memberArrays
	channels channelTable
	queues   queueTable
	run      runList                 // local channels with commands or a walk under way
	rosters  []*roster               // frames for listed connections, oldest first
	closings []*closing              // mass closes under way, oldest first
	present  map[uint32]*presentUser // by membership number: who a presence subscription is
	signed   map[uint32]*signedIn    // by slot: sign-ins
	counts   []*channel              // channels whose subscription count is to be sent later
	streams  map[uint32]*stream      // by slot: event streams and polls
	waking   []connRef               // polls that a walk has come to
	cursors  map[uint32]*cursor      // by membership number: subscribers that are behind
	behind   map[uint32]*cursor      // by slot: the first cursor of a connection
	fetches  map[fetchKey]*fetch     // blocks on their way
	pulls    []*cursor               // cursors whose turn it is, in order
	paused   []connRef               // connections whose next message waits for tokens
	deflate  int                     // connections that negotiated deflate

	// Scratch, used within one call.
	decoder pusher.Decoder
	msg     pusher.Message
	text    []byte
	out     []byte
	batch   batchScratch
	pushed  frame.Batch

	// Atomic; written by the loop, read by anyone.
	stats shardStats

	// Atomic; written by publishers and the loop. A cache line of its own, so that
	// publishers do not slow the loop's counters down.
	_       [64]byte
	backlog backlog
	_       [64]byte
}

// Inbox entries. arg and ref depend on op.
const (
	opDeliver  uint8 = iota + 1 // arg: local channel; ref: *delivery
	opJoin                      // arg: membership | slot<<32; ref: *channel or *welcome
	opWelcome                   // arg: slot | gen<<32; ref: *welcome; a repeated subscribe
	opRetire                    // arg: local channel, which has no members left
	opRoster                    // ref: *roster
	opCloseAll                  // ref: *closing
	opLookedUp                  // ref: *lookup
	opFetched                   // arg: run; ref: *fetch
	opResolved                  // arg: slot | gen<<32; ref: []*request
	opPolled                    // ref: *pollAnswer
	opWatched                   // ref: *signingIn
)

func newShard(r *Router, id int) (*Shard, error) {
	s := &Shard{
		r: r, id: id,
		sessions: sessionList{table: r.sessions},
		queues:   newQueueTable(),
		present:  map[uint32]*presentUser{},
		signed:   map[uint32]*signedIn{},
		streams:  map[uint32]*stream{},
		cursors:  map[uint32]*cursor{},
		behind:   map[uint32]*cursor{},
		fetches:  map[fetchKey]*fetch{},
	}
	s.stats.latency = newLatency()
	max := r.memberships
	var err error
	if s.nodes, err = offheap.NewPool[membership](max); err != nil {
		return nil, err
	}
	if s.locals, err = offheap.NewPool[localChannel](max); err != nil {
		return nil, err
	}
	if s.arrays, err = newMemberArrays(max); err != nil {
		return nil, err
	}
	return s, nil
}

// enter stands at the start of every method that the transport calls.
func (s *Shard) enter() {
	if !invariant.On {
		return
	}
	if !s.taken {
		s.owner.Take()
		s.taken = true
	}
	s.owner.Check()
}

// Command takes one entry of the inbox; entries come in the order of posting.
func (s *Shard) Command(now int64, op uint8, arg uint64, ref any) {
	s.enter()
	s.now = now
	c := command{op: op, arg: arg, ref: ref}
	switch op {
	case opRoster:
		s.rosters = append(s.rosters, ref.(*roster))
	case opCloseAll:
		s.closings = append(s.closings, ref.(*closing))
	case opLookedUp:
		s.lookedUp(ref.(*lookup))
	case opResolved:
		s.resolved(unpackRef(arg), ref.([]*request))
	case opWatched:
		s.watched(ref.(*signingIn))
	case opPolled:
		s.polled(ref.(*pollAnswer))
	case opFetched:
		s.fetched(ref.(*fetch), arg)
	case opDeliver:
		s.enqueue(uint32(arg), c)
	default:
		local := s.localOf(&c)
		if s.locals.At(local).queue != 0 {
			s.enqueue(local, c) // behind the walk that is under way
			return
		}
		s.execute(&c)
	}
}

// localOf is the local channel that a command is about.
func (s *Shard) localOf(c *command) uint32 {
	switch c.op {
	case opJoin:
		return s.nodes.At(uint32(c.arg)).local
	case opWelcome:
		return c.ref.(*welcome).local
	default:
		return uint32(c.arg)
	}
}

// execute carries out a command whose turn has come.
func (s *Shard) execute(c *command) {
	switch c.op {
	case opJoin:
		s.admit(uint32(c.arg), uint32(c.arg>>32), c.ref)
	case opWelcome:
		s.welcomeAgain(unpackRef(c.arg), c.ref.(*welcome))
	case opRetire:
		s.retire(uint32(c.arg))
	}
}

// retire frees a local channel. Its marker was posted in the step that removed the
// loop from the channel, so everything that was ever posted for this incarnation
// has been handled before.
func (s *Shard) retire(local uint32) {
	l := s.locals.At(local)
	if invariant.On {
		invariant.Check(l.count == 0, "a local channel was retired with members")
	}
	if l.queue != 0 {
		s.queues.at(l.queue).local = 0
	}
	s.channels.set(local, nil)
	s.locals.Free(local)
}

// Tick is called once a second.
func (s *Shard) Tick(now int64) {
	s.enter()
	s.now = now
	s.resumePaused()
	s.sendCounts()
	if s.id == 0 {
		s.r.countEverywhere(now)
	}
	s.sweepCaches()
}

// channelTable names the channel of each local record: the one pointer a loop
// keeps per channel, in blocks so that growth copies nothing.
type channelTable struct{ blocks []*[channelBlock]*channel }

const channelBlock = 4096

func (t *channelTable) at(local uint32) *channel {
	return t.blocks[local/channelBlock][local%channelBlock]
}

func (t *channelTable) set(local uint32, ch *channel) {
	for int(local/channelBlock) >= len(t.blocks) {
		t.blocks = append(t.blocks, new([channelBlock]*channel))
	}
	t.blocks[local/channelBlock][local%channelBlock] = ch
}
