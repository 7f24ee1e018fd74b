package router

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-edge/holdfast/router/auth"
)

// Config is everything the router is told at its construction.
type Config struct {
	// Apps lists the applications. At least one; ids and keys are unique.
	Apps []AppConfig
	// Limits bounds what one connection, channel or event may ask for.
	Limits Limits
	// Log keeps the events. nil = no history: events have no numbers.
	Log Log
	// Broker joins several nodes; it is the log as well, and Log is nil then. nil = the
	// server stands alone.
	Broker Broker
	// History says how much of which channels is kept; the first match counts.
	History []HistoryRule
	// CheckSession tells whether a socket id of a request without a WebSocket is valid:
	// nil, auth.ErrSessionExpired, or another error. nil = none is.
	CheckSession func(id string) error
	// Slots is the size of the session table: one more than the highest connection
	// number that the transport ever uses. Costs address space, not memory.
	Slots int
	// SocketIDKey makes socket ids unguessable. It must be random per process start.
	SocketIDKey [16]byte
	// Node is this node's number inside a cluster; part of every socket id. 0 alone.
	Node uint16
	// BacklogEvents bounds, per loop, the published events whose walk has not ended.
	// Beyond it Publish answers ErrBusy. Default 16,384 (1 to 1,048,576).
	BacklogEvents int
	// BacklogBytes bounds the encoded bytes of the same events. Default 64 MiB
	// (1 MiB to 16 GiB): a count alone would let large events fill the memory.
	BacklogBytes int
}

// AppConfig describes one application ([[apps]] of the configuration file).
type AppConfig struct {
	ID, Key, Secret string
	// Enabled false refuses connections with 4003.
	Enabled bool
	// Origins are the allowed browser origins, as auth.CompileOrigins reads them.
	Origins []string
	// ClientEvents lets members of a private or presence channel send to each other.
	ClientEvents bool
	// SubscriptionCount sends pusher_internal:subscription_count to subscribers.
	SubscriptionCount bool
	// MaxConnections bounds established connections of the application. 0 = no bound.
	MaxConnections int
}

// Limits holds the rows of the limits table that are the router's. All are positive.
type Limits struct {
	Subscriptions         int           // live subscriptions of one connection; 100
	SubscribesPerSecond   int           // subscribe and unsubscribe frames, burst twice that; 100. Over it the socket is not read
	FramesPerSecond       int           // all other messages and fragments, burst twice that; 100
	ControlFramesPerSec   int           // ping, pong and close frames; 10
	ClientEventsPerSecond int           // per connection; 10
	ChannelNameBytes      int           // 200
	EventNameBytes        int           // 200
	EventDataBytes        int           // of the data string of one event; 10,240
	UserIDBytes           int           // 128
	UserInfoBytes         int           // channel_data or user_data as received; 2,048
	PresenceMembers       int           // distinct users of one channel; 1,000
	Watchlist             int           // users that one sign-in may watch; 100
	CacheTTL              time.Duration // how long a cache channel keeps its last event; 30 min
	DoorChannels          int           // channels of one event stream or poll; 20
	PollWait              int           // seconds that a poll waits unless it says otherwise; 25
	RecoverEvents         int           // events that one recovery may replay; 1,000
}

// DefaultLimits are the limits of the shipped configuration.
func DefaultLimits() Limits {
	return Limits{
		Subscriptions: 100, SubscribesPerSecond: 100, FramesPerSecond: 100, ControlFramesPerSec: 10,
		ClientEventsPerSecond: 10, ChannelNameBytes: 200, EventNameBytes: 200, EventDataBytes: 10 << 10,
		UserIDBytes: 128, UserInfoBytes: 2 << 10, PresenceMembers: 1000, Watchlist: 100, CacheTTL: 30 * time.Minute,
		RecoverEvents: 1000, DoorChannels: 20, PollWait: 25,
	}
}

// Default is a configuration without applications and without a socket id key.
func Default() Config {
	return Config{Limits: DefaultLimits(), History: DefaultRules(), Slots: 1 << 20, BacklogEvents: 16 << 10, BacklogBytes: 64 << 20}
}

// Validate reports every fault of the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("router: "+format, args...)) }
	if len(c.Apps) == 0 {
		fault("no application is configured")
	}
	if len(c.Apps) >= maxApps {
		fault("%d applications, at most %d", len(c.Apps), maxApps-1)
	}
	ids, keys := map[string]bool{}, map[string]bool{}
	for i, a := range c.Apps {
		if a.ID == "" || a.Key == "" || a.Secret == "" {
			fault("application %d: id, key and secret must not be empty", i+1)
		}
		if ids[a.ID] {
			fault("application %d: id %q is used twice", i+1, a.ID)
		}
		if keys[a.Key] {
			fault("application %d: key %q is used twice", i+1, a.Key)
		}
		ids[a.ID], keys[a.Key] = true, true
		if a.MaxConnections < 0 {
			fault("application %q: max_connections is %d, it must be 0 or more", a.ID, a.MaxConnections)
		}
		if _, err := auth.CompileOrigins(a.Origins); err != nil {
			fault("application %q: %w", a.ID, err)
		}
	}
	for i, h := range c.History {
		if h.Match == "" || h.Events < 0 || (h.Events > 0 && (h.Age < time.Second || h.Bytes < 1)) {
			fault("history rule %d: it needs a match, and with events an age of at least 1 s and bytes", i+1)
		}
	}
	for _, b := range []struct {
		name      string
		value     int
		low, high int
	}{
		{"slots", c.Slots, 1, 1 << 31},
		{"backlog events", c.BacklogEvents, 1, 1 << 20},
		{"backlog bytes", c.BacklogBytes, 1 << 20, 16 << 30},
		{"limits.subscriptions", c.Limits.Subscriptions, 1, 100_000},
		{"limits.subscribes_per_second", c.Limits.SubscribesPerSecond, 1, 100_000},
		{"limits.frames_per_second", c.Limits.FramesPerSecond, 1, 100_000},
		{"limits.control_frames_per_second", c.Limits.ControlFramesPerSec, 1, 1000},
		{"limits.client_events_per_second", c.Limits.ClientEventsPerSecond, 1, 10_000},
		{"limits.channel_name_bytes", c.Limits.ChannelNameBytes, 16, 200},
		{"limits.event_name_bytes", c.Limits.EventNameBytes, 16, 1024},
		{"limits.event_data_bytes", c.Limits.EventDataBytes, 1 << 10, 8 << 20},
		{"limits.user_id_bytes", c.Limits.UserIDBytes, 1, 512},
		{"limits.user_info_bytes", c.Limits.UserInfoBytes, 64, 64 << 10},
		{"limits.presence_members", c.Limits.PresenceMembers, 1, 100_000},
		{"limits.watchlist", c.Limits.Watchlist, 1, 10_000},
		{"limits.door_channels", c.Limits.DoorChannels, 1, 100},
		{"limits.poll_wait in seconds", c.Limits.PollWait, 1, maxPollWait},
		{"limits.recover_events", c.Limits.RecoverEvents, 1, 100_000},
		{"limits.cache_ttl in seconds", int(c.Limits.CacheTTL / time.Second), 1, 720 * 3600},
	} {
		if b.value < b.low || b.value > b.high {
			fault("%s is %d, it must be %d to %d", b.name, b.value, b.low, b.high)
		}
	}
	return errors.Join(errs...)
}
