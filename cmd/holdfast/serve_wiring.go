package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/netio"
	"github.com/holdfast-edge/holdfast/persist"
	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/api"
	"github.com/holdfast-edge/holdfast/router/auth"
	"github.com/holdfast-edge/holdfast/router/ingest"
	"github.com/holdfast-edge/holdfast/router/redisbroker"
	"github.com/holdfast-edge/holdfast/tuning"
)

// The rooms meet here and nowhere else: netio calls a Session, router offers one.
var (
	_ netio.Session = (*router.Shard)(nil)
	_ router.Conns  = netio.Conns(nil)
	_ router.Loops  = (*netio.Server)(nil)
)

// conversations bounds the plain HTTP conversations served at a time. Each holds
// a goroutine and fasthttp's buffers, about 12 KiB.
const conversations = 1024

// inboxCommands bounds the commands that wait for one loop.
const inboxCommands = 65536

// runtimeDeps is what serve hands to newRuntime.
type runtimeDeps struct {
	Config   *config.Config
	Log      *slog.Logger
	Registry *prometheus.Registry
}

// edge is the running server: the transport, the router and the API, wired.
type edge struct {
	// Immutable after newRuntime.
	log    *slog.Logger
	nofile uint64 // RLIMIT_NOFILE as raised
	spare  *tuning.Spare
	pace   *tuning.Pace
	slots  uint64 // descriptor numbers that the tables are made for
	net    *netio.Server
	replay *persist.Log        // nil = off, or there is a broker
	broker *redisbroker.Broker // nil = the server stands alone
	strict bool                // redis.strict
	ingest *ingest.Reader      // nil = off
	router *router.Router
	api    *api.Server

	sessions atomic.Pointer[auth.SessionIDs] // replaced by Reload

	probe probe // behind its own lock

	mu    sync.Mutex
	turns []uint64  // of the last Live call
	asked time.Time // when that was
	live  error
}

// newRuntime builds everything and opens the replay log, but no socket.
func newRuntime(d runtimeDeps) (Runtime, error) {
	limit, err := tuning.RaiseNofile()
	if err != nil {
		return nil, fmt.Errorf("read the descriptor limit: %w", err)
	}
	slots := tuning.DescriptorSlots(limit, d.Config.Admission.MaxConnections, max(memoryBound(d.Config), tuning.MemoryBound()))
	if err := tuning.GrowDescriptorTable(slots); err != nil {
		// Not fatal: the table then grows under load, in steps that stall every thread.
		d.Log.Warn("descriptor table not grown at start", "err", err)
	}
	e := &edge{log: d.Log, nofile: limit, slots: slots, spare: tuning.NewSpare(tuning.Cores()), pace: tuning.NewPace()}
	e.applyMemory(d.Config)
	e.sessions.Store(sessionIDs(d.Config))
	if err := tuning.ScheduleAsBatch(); err != nil {
		d.Log.Info("the scheduling policy stays as it is", "err", err)
	}
	if e.broker, err = openBroker(d.Config, d.Log); err != nil {
		return nil, err
	}
	e.strict = d.Config.Redis.Strict
	if e.broker == nil {
		if e.replay, err = openLog(d.Config, e.spare, d.Log); err != nil {
			return nil, err
		}
	}
	if err := e.build(d); err != nil {
		return nil, errors.Join(err, e.closeLog())
	}
	return e, nil
}

// closeLog ends the log, or the broker that takes its place, and what publishes by itself.
func (e *edge) closeLog() error {
	if e.ingest != nil {
		e.ingest.Close()
	}
	if e.broker != nil {
		e.broker.Close()
	}
	if e.replay != nil {
		return e.replay.Close()
	}
	return nil
}

// build makes the rooms and wires them.
func (e *edge) build(d runtimeDeps) (err error) {
	loops := d.Config.Server.Loops
	if loops == 0 {
		loops = min(256, tuning.Cores())
	}
	// The transport serves HTTP through the API, and the API publishes through the
	// router, which posts to the transport: the one cycle, closed by this variable.
	serveHTTP := func(c net.Conn) error {
		e.spare.Serve()
		return e.api.ServeConn(c)
	}
	cfg := netConfig(d.Config, loops, e.slots, d.Log, serveHTTP)
	cfg.SessionBytes = func() (float64, float64) { return e.router.Bytes() }
	if e.net, err = netio.New(cfg); err != nil {
		return err
	}
	routerCfg := routerConfig(d.Config, int(e.slots))
	if _, err := rand.Read(routerCfg.SocketIDKey[:]); err != nil {
		return fmt.Errorf("socket id key: %w", err)
	}
	switch {
	case e.broker != nil:
		routerCfg.Broker = e.broker
	case e.replay != nil:
		routerCfg.Log = replayLog{e.replay}
	}
	routerCfg.CheckSession = func(id string) error { return e.sessions.Load().Check(id, time.Now()) }
	if e.router, err = router.New(routerCfg, e.net, e.net.Now); err != nil {
		return err
	}
	e.spare.Watch(e.net.Busy)
	for i := range loops {
		e.net.Attach(i, e.router.Shard(i, e.net.Conns(i)))
	}
	apiCfg := apiConfig(d.Config)
	apiCfg.SessionIDs = e.sessions.Load()
	if e.api, err = api.New(apiCfg, e.router, time.Now); err != nil {
		return err
	}
	if url := d.Config.Ingest.URL.Reveal(); url != "" {
		conf := ingest.Config{URL: url, Prefix: d.Config.Ingest.Prefix, App: d.Config.Ingest.App}
		if e.ingest, err = ingest.Open(conf, e.router, d.Log); err != nil {
			return err
		}
	}
	return e.register(d.Registry)
}

// sessionIDs are those of every node that serves the same applications.
func sessionIDs(c *config.Config) *auth.SessionIDs {
	return auth.NewSessionIDs(auth.SessionKey(appSecrets(c)))
}

func appSecrets(c *config.Config) []auth.AppSecret {
	secrets := make([]auth.AppSecret, len(c.Apps))
	for i, a := range c.Apps {
		secrets[i] = auth.AppSecret{ID: a.ID, Secret: a.Secret.Reveal()}
	}
	return secrets
}

// register puts every room's metrics on the admin listener.
func (e *edge) register(registry *prometheus.Registry) error {
	kernel, err := tuning.NewKernelCollector(tuning.KernelSources{
		ReadFile: os.ReadFile, DescriptorLimit: e.nofile, Sockets: e.net.Sockets,
	})
	if err != nil {
		return fmt.Errorf("kernel metrics: %w", err)
	}
	collectors := []prometheus.Collector{e.net.Collector(), e.router.Collector(), e.api.Collector(), kernel}
	if e.replay != nil {
		collectors = append(collectors, persist.NewCollector(e.replay))
	}
	if e.broker != nil {
		collectors = append(collectors, e.broker.Collector())
	}
	if e.ingest != nil {
		collectors = append(collectors, e.ingest.Collector())
	}
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// Start binds the listeners.
func (e *edge) Start(context.Context) error {
	if err := e.net.Start(); err != nil {
		return err
	}
	for _, a := range e.net.Addrs() {
		e.log.Info("listening", "listener", a.String())
	}
	return nil
}

// Reload takes over what SIGHUP may change.
func (e *edge) Reload(c *config.Config) error {
	if err := e.router.Reload(routerConfig(c, 1)); err != nil {
		return err
	}
	if err := e.api.SetLimits(apiLimits(c)); err != nil {
		return err
	}
	if e.broker != nil {
		if err := e.broker.Reload(brokerKeys(c)); err != nil {
			return err
		}
	}
	if e.replay != nil {
		e.replay.SetDurableWaiting(c.Limits.DurableWaiting)
	}
	e.sessions.Store(sessionIDs(c))
	e.api.SetSessionIDs(e.sessions.Load())
	e.net.SetLimits(netLimits(c))
	e.net.SetAdmission(netAdmission(c))
	if want := c.Admission.MaxConnections; uint64(want) > e.slots {
		e.log.Warn("more connections than the tables were made for at start: only a restart lets them in",
			"knob", "admission.max_connections", "limit", e.slots, "actual", want)
	}
	e.applyMemory(c)
	return nil
}

// applyMemory sets the collector's pace for this host.
func (e *edge) applyMemory(c *config.Config) {
	plan := tuning.ApplyMemory(tuning.MemoryOptions{
		Bytes: uint64(c.Admission.MemoryBytes), Connections: c.Admission.MaxConnections, LookupEnv: os.LookupEnv, Pace: e.pace,
	})
	e.log.Info("memory", "ceiling_bytes", plan.Ceiling, "source", plan.Source, "shed_above_bytes", plan.Bytes,
		"go_limit_bytes", plan.GoLimit, "gogc", plan.GOGC)
}

// Stop refuses newcomers, tells every client to reconnect at once elsewhere
// (4200), and waits until they are gone or ctx is done.
func (e *edge) Stop(ctx context.Context) error {
	e.net.StopAccepting()
	e.api.Drain()
	e.router.CloseAll()
	err := e.net.Shutdown(ctx)
	e.pace.End()
	// Behind the last request: whatever was answered is in the log.
	return errors.Join(err, e.closeLog())
}

// Live is nil while every loop turns. The loops beat once a second, so an answer
// stands for two seconds before they are asked again.
func (e *edge) Live() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.asked) >= 2*time.Second {
		turns, moving := e.net.Moving(e.turns)
		e.turns, e.asked, e.live = turns, now, nil
		switch {
		case !moving:
			e.live = errors.New("a loop has not turned for two seconds")
		case e.replay != nil && !e.probe.moving(now, e.replay.Probe):
			e.live = errors.New("the replay log has not moved for ten seconds: its disk hangs")
		}
	}
	return e.live
}

// Ready is nil while new connections are accepted.
func (e *edge) Ready() error {
	if !e.net.Accepting() {
		return errors.New("not accepting: stopping, or over admission.memory_bytes")
	}
	if e.strict && e.broker != nil && !e.broker.Up() {
		return errors.New("no events come from Redis (redis.strict)")
	}
	return nil
}

func netConfig(c *config.Config, loops int, slots uint64, log *slog.Logger, serve func(net.Conn) error) netio.Config {
	return netio.Config{
		Listen: []string{c.Server.Listen}, PathPrefix: c.Server.PathPrefix, Loops: loops,
		Compression: c.Server.CompressionOn(), EchoPath: c.EchoPath,
		Limits: netLimits(c), Admission: netAdmission(c),
		Descriptors: slots, InboxCommands: inboxCommands, Conversations: conversations,
		Streams: router.IsStream, Farewell: farewell, ServeHTTP: serve, Log: log,
	}
}

// farewell is the pusher:error before a close of the transport's own.
func farewell(r frame.CloseReason) []byte {
	return frame.AppendFrame(nil, frame.OpText, pusher.AppendError(nil, int(r.Code), r.Text))
}

func netLimits(c *config.Config) netio.Limits {
	l := c.Limits
	return netio.Limits{
		HandshakeTimeout: l.HandshakeTimeout,
		RequestLineBytes: int(l.RequestLineBytes), HeadBytes: int(l.HeadBytes), HeadCount: l.HeadCount,
		MessageBytes: int(l.MessageBytes), Fragments: l.Fragments, MessageTime: l.MessageTime,
		BodyBytes:  int64(l.BodyBytes),
		QueueBytes: int(l.QueueBytes), QueueMessages: l.QueueMessages,
		ActivityTimeout: c.Server.ActivityTimeout, PingGrace: c.Server.PingGrace, PongTimeout: c.Server.PongTimeout,
	}
}

func netAdmission(c *config.Config) netio.Admission {
	return netio.Admission{
		MaxConnections: c.Admission.MaxConnections, AcceptRate: c.Admission.AcceptRate,
		HalfOpenPerIP: c.Admission.HalfOpenPerIP, MemoryBytes: memoryBound(c),
	}
}

// memoryBound is admission.memory_bytes in force; 0 = not known.
func memoryBound(c *config.Config) uint64 {
	if bound := uint64(c.Admission.MemoryBytes); bound > 0 {
		return bound
	}
	return tuning.MemoryBound()
}

func routerConfig(c *config.Config, slots int) router.Config {
	l := c.Limits
	cfg := router.Default()
	cfg.Slots = slots
	cfg.Limits = router.Limits{
		Subscriptions: l.Subscriptions, SubscribesPerSecond: l.SubscribesPerSecond, FramesPerSecond: l.FramesPerSecond,
		ControlFramesPerSec: l.ControlFramesPerSecond, ClientEventsPerSecond: l.ClientEventsPerSecond,
		ChannelNameBytes: l.ChannelNameBytes, EventNameBytes: l.EventNameBytes, EventDataBytes: int(l.EventDataBytes),
		UserIDBytes: l.UserIDBytes, UserInfoBytes: int(l.UserInfoBytes), PresenceMembers: l.PresenceMembers,
		Watchlist: l.Watchlist, CacheTTL: l.CacheTTL,
		RecoverEvents: l.RecoverEvents, DoorChannels: l.DoorChannels, PollWait: int(l.PollWait / time.Second),
	}
	cfg.History = nil
	for _, h := range c.History {
		if !c.Replay.Enabled {
			break // in a cluster the broker would keep it
		}
		cfg.History = append(cfg.History, router.HistoryRule{Match: h.Match, Rule: router.Rule{
			Events: h.Events, Age: h.Age, Bytes: int64(h.Bytes), Replay: h.Replay, Durable: h.Durable,
		}})
	}
	for _, a := range c.Apps {
		cfg.Apps = append(cfg.Apps, router.AppConfig{
			ID: a.ID, Key: a.Key, Secret: a.Secret.Reveal(), Enabled: a.Enabled, Origins: a.AllowedOrigins,
			ClientEvents: a.ClientEventsOn(), SubscriptionCount: a.SubscriptionCount, MaxConnections: a.MaxConnections,
		})
	}
	return cfg
}

func apiConfig(c *config.Config) api.Config {
	return api.Config{PathPrefix: c.Server.PathPrefix, Limits: apiLimits(c)}
}

func apiLimits(c *config.Config) api.Limits {
	l := c.Limits
	return api.Limits{
		RequestLineBytes: int(l.RequestLineBytes), HeadBytes: int(l.HeadBytes), HeadCount: l.HeadCount,
		ChannelNameBytes: l.ChannelNameBytes, EventNameBytes: l.EventNameBytes, EventDataBytes: int(l.EventDataBytes),
		BodyBytes: int(l.BodyBytes), EventChannels: l.EventChannels, BatchEvents: l.BatchEvents,
		EventsPerSecond: l.APIEventsPerSecond, AuthWindow: l.AuthWindow,
	}
}
