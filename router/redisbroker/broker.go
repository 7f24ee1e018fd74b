package redisbroker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// Broker is a router.Broker on Redis. Its methods may be called from any goroutine.
//
// Lock order: a channel's order, then the router's directory, then mu. Nothing waits
// for Redis under any of them.
type Broker struct {
	// Immutable after Open.
	conf      Config
	address   redisurl.Address
	client    rueidis.Client
	seal      *seal
	keys      keys
	node      uint64 // this incarnation; in every envelope
	logger    *slog.Logger
	receiver  router.Receiver // set by Begin, before anything is followed
	blocks    *blockCache
	relays    chan relayed
	answering chan struct{}
	saying    chan struct{}   // something is to be said again
	moved     chan struct{}   // a slot is no longer where it was
	ctx       context.Context //nolint:containedctx // the life of the broker's goroutines
	stop      context.CancelFunc
	running   sync.WaitGroup
	began     time.Time
	stats     stats

	// mu is taken by loops. Nobody holds it for all of a million channels (scan).
	mu      sync.Mutex
	follows map[string]*follow           // by pub/sub channel
	watched queue[*follow]               // those that sweep looks at: without subscribers, or unsure
	adrift  queue[*follow]               // those that have no lane
	lanes   map[string]*lane             // by the server's address; "" = the only one
	turns   uint32                       // the last turn of a lane
	kept    time.Time                    // when the heads of all follows were kept alive
	slots   []string                     // Cluster: the master's address by slot
	claims  map[string]map[string]*claim // by channel, by user
	parting queue[*claim]                // nobody holds them
	lease   lease
	asked   map[string]*asked // by id
	closed  bool
}

// Open connects to Redis and refuses one that cannot keep the broker's promises. ctx
// bounds the opening only.
func Open(ctx context.Context, conf Config, logger *slog.Logger) (*Broker, error) {
	if err := conf.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{
		conf: conf, logger: logger, began: time.Now(), kept: time.Now(), keys: keys{prefix: conf.Prefix},
		follows: map[string]*follow{}, lanes: map[string]*lane{}, claims: map[string]map[string]*claim{}, saying: make(chan struct{}, 1), moved: make(chan struct{}, 1), asked: map[string]*asked{},
		relays: make(chan relayed, relayQueue), answering: make(chan struct{}, answersMost), blocks: newBlockCache(conf.CacheBytes), stats: newStats(),
	}
	var err error
	if b.address, err = redisurl.Parse(conf.URL); err != nil {
		return nil, err
	}
	if b.seal, err = newSeal(conf.Keys); err != nil {
		return nil, err
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	b.node = binary.BigEndian.Uint64(id[:])
	if conf.Password != "" {
		b.address.Password = conf.Password
	}
	if b.client, err = rueidis.NewClient(b.address.Options("holdfast", conf.PublishTimeout, max(conf.PublishTimeout, minSilence))); err != nil {
		return nil, fmt.Errorf("redisbroker: %s: %w", strings.Join(b.address.Hosts, ", "), err)
	}
	if err := b.examine(ctx); err != nil {
		b.client.Close()
		return nil, err
	}
	if err := b.incarnate(ctx); err != nil {
		b.client.Close()
		return nil, err
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b, nil
}

// Begin implements router.Broker.
func (b *Broker) Begin(r router.Receiver) {
	b.receiver = r
	if b.address.Topology == redisurl.Cluster {
		b.run(b.routes)
	} else {
		b.mu.Lock()
		b.addLaneLocked("", b.client)
		b.mu.Unlock()
	}
	b.run(func() { b.repeat(sweepEvery, b.sweep) })
	b.run(func() { b.repeat(compareEvery, func(time.Time) { b.compare() }) })
	b.run(func() { b.repeat(forgetEvery, func(now time.Time) { b.forget(now.Add(-forgetEvery)) }) })
	b.run(b.relay)
	b.run(func() { b.repeat(leaseEvery, b.renew) })
	b.run(func() { b.repeat(leaveGrace/8, b.part) })
	b.run(func() { b.repeat(leaseEvery, b.lookRound) })
	b.run(b.say)
	// Who connects at once would find Redis away.
	for end := time.Now().Add(b.conf.PublishTimeout); !b.Up() && time.Now().Before(end); {
		time.Sleep(reachLook)
	}
}

// each does something for every one of a list, so many at once, and returns all errors.
func each[T any](most int, list []T, do func(i int, one T) error) error {
	slots := make(chan struct{}, most)
	faults := make([]error, len(list))
	var all sync.WaitGroup
	for i, one := range list {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			faults[i] = do(i, one)
		})
	}
	all.Wait()
	return errors.Join(faults...)
}

// repeat does something again and again until the broker ends.
func (b *Broker) repeat(every time.Duration, do func(now time.Time)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case now := <-tick.C:
			do(now)
		}
	}
}

// Reload takes over changed rules and keys.
func (b *Broker) Reload(keys Keys) error {
	if err := b.seal.take(keys); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := scan{b: b}
	for _, f := range b.follows {
		if numbered := b.receiver.RuleOf(f.key).Events > 0; numbered != f.numbered {
			f.numbered, f.known, f.at = numbered, false, router.Position{}
			f.anewLocked()
		}
		s.nextLocked()
	}
	return nil
}

// run starts a goroutine that ends with the broker.
func (b *Broker) run(work func()) {
	b.running.Add(1)
	go func() {
		defer b.running.Done()
		work()
	}()
}

// Close ends everything. Nothing is handed out afterwards.
func (b *Broker) Close() {
	b.mu.Lock()
	over := b.closed
	b.closed = true
	b.mu.Unlock()
	if !over {
		b.resign()
	}
	b.stop()
	b.client.Close()
	b.running.Wait()
}

// every lists the servers that may hold data, by address; the only one also by "".
func (b *Broker) every() map[string]rueidis.Client {
	if b.address.Topology == redisurl.Cluster {
		return b.client.Nodes()
	}
	return map[string]rueidis.Client{"": b.client}
}

// oldest versions: what the scripts and the sharded pub/sub need.
var (
	oldest        = version{6, 2}
	oldestCluster = version{7, 0}
)

type version [2]int

func (v version) before(w version) bool { return v[0] < w[0] || v[0] == w[0] && v[1] < w[1] }

// examine looks at every server: its version, and whether it may evict keys. An evicted
// head or stream would be a loss that nobody sees.
func (b *Broker) examine(ctx context.Context) error {
	need := oldest
	if b.address.Topology == redisurl.Cluster {
		need = oldestCluster
	}
	for host, client := range b.every() {
		if host == "" {
			host = strings.Join(b.address.Hosts, ", ")
		}
		info, err := client.Do(ctx, client.B().Info().Build()).ToString()
		if err != nil {
			return fmt.Errorf("redisbroker: %s: INFO: %w", host, err)
		}
		// Valkey calls itself redis_version 7.2.4 for the sake of clients.
		text := infoField(info, "redis_version")
		var v version
		if _, err := fmt.Sscanf(text, "%d.%d", &v[0], &v[1]); err != nil || v.before(need) {
			return fmt.Errorf("%w: %s is version %q, %d.%d or newer is needed", ErrUnfit, host, text, need[0], need[1])
		}
		if policy := infoField(info, "maxmemory_policy"); policy != "noeviction" {
			return fmt.Errorf("%w: maxmemory-policy of %s is %q; set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf)", ErrEviction, host, policy)
		}
	}
	return nil
}

// infoField finds a line of the answer to INFO.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimRight(value, "\r\n")
		}
	}
	return ""
}

// call is one run of a script.
type call struct{ keys, args []string }

// eval runs a script for each of the calls, in one go. A server that does not have it
// yet gets it with the first call that it refused.
func (b *Broker) eval(ctx context.Context, client rueidis.CoreClient, s script, calls []call) []rueidis.RedisResult {
	commands := make([]rueidis.Completed, len(calls))
	for i, c := range calls {
		commands[i] = client.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
	}
	results := client.DoMulti(ctx, commands...)
	for i := range results {
		if e, ok := rueidis.IsRedisErr(results[i].Error()); ok && e.IsNoScript() {
			c := calls[i]
			results[i] = client.Do(ctx, client.B().Eval().Script(s.source).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build())
		}
	}
	return results
}

// newEpoch is an epoch that nobody had: 12 of [0-9a-z], about 62 bits.
func newEpoch() string {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyz"
	var raw [12]byte
	_, _ = rand.Read(raw[:])
	for i, c := range raw {
		raw[i] = letters[int(c)%len(letters)]
	}
	return string(raw[:])
}

// sealed is an envelope of this node's, of now.
func (b *Broker) sealed(place string, what kind, text []byte) string {
	return string(b.seal.append(nil, place, &envelope{kind: what, timeMS: time.Now().UnixMilli(), node: b.node, text: text}))
}

// unavailable is any failure of Redis as the router knows it.
func unavailable(err error) error {
	return fmt.Errorf("%w: %w", router.ErrBrokerUnavailable, err)
}

// errAway: there is no connection on which events come.
var errAway = errors.New("redisbroker: Redis is away")

// errUnanswered: a node that has a lease did not answer.
var errUnanswered = errors.New("redisbroker: not all nodes answered")

// ms is a time as Redis counts it.
func ms(d time.Duration) string { return fmt.Sprintf("%d", max(d.Milliseconds(), 1)) }
