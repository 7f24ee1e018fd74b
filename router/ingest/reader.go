package ingest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// Config says what is read.
type Config struct {
	URL    string // of the application's Redis (redisurl)
	Prefix string // in front of channel names: database.redis.options.prefix
	App    string // id of the application whose channels they are
}

// Publisher is the router as a reader sees it.
type Publisher interface {
	AppByID(id string) (*router.App, bool)
	Publish(app *router.App, ev *router.Event) error
	Limits() router.Limits
}

const (
	// leaseTime is how long a reader that says nothing keeps the others from reading.
	leaseTime  = 3 * time.Second
	leaseRenew = time.Second
	dialTime   = 5 * time.Second
	silence    = 3 * time.Second
	// waiting bounds the messages that wait for the router.
	waiting = 4096
	// retryFor is how long a publish is tried that is refused for the moment.
	retryFor    = 10 * time.Second
	retryLeast  = 20 * time.Millisecond
	redialLeast = 50 * time.Millisecond
	redialMost  = 2 * time.Second
)

// Reader reads one application's broadcasts. Its methods may be called by any goroutine.
type Reader struct {
	// Immutable after Open.
	conf    Config
	client  rueidis.Client
	to      Publisher
	logger  *slog.Logger
	self    string // in the lease
	lease   string // its name
	queue   chan message
	ctx     context.Context //nolint:containedctx // the life of the reader's goroutines
	stop    context.CancelFunc
	running sync.WaitGroup

	// Atomic.
	until   atomic.Int64 // Unix ns: the lease ends; 0 = this node does not have it
	up      atomic.Bool
	results [results]atomic.Uint64
}

type message struct{ channel, raw string }

// result is what became of a message.
type result uint8

const (
	resultPublished result = iota
	resultMalformed
	resultLimit
	resultFailed  // the router did not take it
	resultDropped // too many were waiting
	results
)

func (r result) String() string {
	return [results]string{"published", "malformed", "limit", "failed", "dropped"}[r]
}

// Open begins to read. It does not wait for Redis: an application's Redis may come later
// than its server of WebSockets.
func Open(conf Config, to Publisher, logger *slog.Logger) (*Reader, error) {
	address, err := redisurl.Parse(conf.URL)
	if err != nil {
		return nil, fmt.Errorf("ingest.redis.url: %w", err)
	}
	if _, ok := to.AppByID(conf.App); !ok {
		return nil, fmt.Errorf("ingest.redis.app: no application has the id %q", conf.App)
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	// One reader for an address and a prefix: the lease is in that Redis, so the prefix is
	// enough of a name.
	sum := sha256.Sum256([]byte(conf.Prefix))
	r := &Reader{
		conf: conf, to: to, logger: logger, self: hex.EncodeToString(id[:]),
		lease: "holdfast:ingest:" + hex.EncodeToString(sum[:8]), queue: make(chan message, waiting),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.run(func() { r.connect(address) })
	r.run(r.publish)
	return r, nil
}

func (r *Reader) run(work func()) {
	r.running.Add(1)
	go func() {
		defer r.running.Done()
		work()
	}()
}

// Close ends the reader. Another node reads on when its lease has ended.
func (r *Reader) Close() {
	r.stop()
	r.running.Wait()
	if r.client != nil {
		r.client.Close()
	}
}

// connect waits for Redis, and then listens for as long as the reader lives.
func (r *Reader) connect(address redisurl.Address) {
	pause := redialLeast
	for r.ctx.Err() == nil {
		began := time.Now()
		err := r.listen(address)
		if r.ctx.Err() != nil {
			return
		}
		if time.Since(began) > redialMost {
			pause = redialLeast
		}
		r.logger.Warn("the application's Redis cannot be read: what it broadcasts is lost meanwhile", "err", err, "again_in_ms", pause.Milliseconds())
		select {
		case <-r.ctx.Done():
		case <-time.After(pause/2 + mathrand.N(pause/2)):
		}
		pause = min(2*pause, redialMost)
	}
}

// listen is one connection.
func (r *Reader) listen(address redisurl.Address) error {
	if r.client == nil {
		client, err := rueidis.NewClient(address.Options("holdfast-ingest", dialTime, silence))
		if err != nil {
			return err
		}
		r.client = client
	}
	conn, release := r.client.Dedicate()
	defer release()
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { r.take(message{m.Channel, m.Message}) }})
	if err := conn.Do(r.ctx, conn.B().Psubscribe().Pattern(glob(r.conf.Prefix)+"*").Build()).Error(); err != nil {
		return err
	}
	r.up.Store(true)
	defer r.up.Store(false)
	defer r.until.Store(0)
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for {
		if err := r.hold(); err != nil {
			return err
		}
		select {
		case err := <-lost:
			return err
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-tick.C:
		}
	}
}

// glob makes a pattern that matches a text and nothing else.
func glob(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if c := text[i]; c == '*' || c == '?' || c == '[' || c == ']' || c == '\\' || c == '^' {
			out = append(out, '\\')
		}
		out = append(out, text[i])
	}
	return string(out)
}

// holdScript takes the lease, or prolongs it.
const holdScript = `local who = redis.call('GET', KEYS[1])
if who and who ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`

// hold takes or prolongs the lease.
func (r *Reader) hold() error {
	ctx, cancel := context.WithTimeout(r.ctx, leaseTime)
	defer cancel()
	began := time.Now()
	got, err := r.client.Do(ctx, r.client.B().Eval().Script(holdScript).Numkeys(1).Key(r.lease).
		Arg(r.self, fmt.Sprint(leaseTime.Milliseconds())).Build()).AsInt64()
	if err != nil {
		return err
	}
	if got != 1 {
		r.until.Store(0)
		return nil
	}
	r.until.Store(began.Add(leaseTime).UnixNano())
	return nil
}

// holds tells whether the lease is this node's now: one that was stopped does not know
// what became of it meanwhile.
func (r *Reader) holds() bool { return time.Now().UnixNano() < r.until.Load() }

// take queues a message, if this node is the one that publishes. It never blocks: a
// connection that is not read is closed by Redis.
func (r *Reader) take(m message) {
	if !r.holds() {
		return
	}
	select {
	case r.queue <- m:
	default:
		r.results[resultDropped].Add(1)
		r.logger.Error("broadcasts come faster than they can be published: one is dropped", "channel", m.channel)
	}
}

// publish publishes what was taken, in its order.
func (r *Reader) publish() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case m := <-r.queue:
			r.results[r.publishOne(m)].Add(1)
		}
	}
}

func (r *Reader) publishOne(m message) result {
	ev, err := read(r.conf.Prefix, m.channel, m.raw, r.to.Limits())
	switch {
	case errors.Is(err, errLimit):
		r.logger.Error("a broadcast is over a limit: it is dropped", "channel", m.channel, "err", err)
		return resultLimit
	case err != nil:
		r.logger.Warn("a message on the application's Redis is no broadcast: it is dropped", "channel", m.channel, "err", err)
		return resultMalformed
	}
	app, ok := r.to.AppByID(r.conf.App)
	if !ok {
		return resultFailed
	}
	pause := retryLeast
	for end := time.Now().Add(retryFor); ; pause *= 2 {
		if err = r.to.Publish(app, ev); err == nil {
			return resultPublished
		}
		// A broker that did not answer may have taken it: a second attempt would publish it
		// twice. Only what was certainly refused is tried again.
		if !errors.Is(err, router.ErrBusy) || time.Now().After(end) || r.ctx.Err() != nil {
			r.logger.Error("a broadcast was not published", "channel", m.channel, "err", err)
			return resultFailed
		}
		select {
		case <-r.ctx.Done():
		case <-time.After(pause):
		}
	}
}

var (
	descMessages = prometheus.NewDesc("holdfast_ingest_messages_total", "Messages that the application's Redis brought to the node that reads it.", []string{"result"}, nil)
	descReads    = prometheus.NewDesc("holdfast_ingest_reader", "Whether this is the node that publishes what the application's Redis brings.", nil, nil)
	descUp       = prometheus.NewDesc("holdfast_ingest_up", "Whether the application's Redis is connected.", nil, nil)
)

// Collector returns the package's metrics, to be registered once.
func (r *Reader) Collector() prometheus.Collector { return collector{r} }

type collector struct{ r *Reader }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descMessages
	ch <- descReads
	ch <- descUp
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for i := range results {
		ch <- prometheus.MustNewConstMetric(descMessages, prometheus.CounterValue, float64(c.r.results[i].Load()), i.String())
	}
	for d, on := range map[*prometheus.Desc]bool{descReads: c.r.holds(), descUp: c.r.up.Load()} {
		v := 0.0
		if on {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
}
