package bench

import (
	"errors"
	"strings"
	"time"
)

// The scenarios.
const (
	Connect = "connect"
	Fanout  = "fanout"
	Storm   = "storm"
	Mixed   = "mixed"
)

// Bounds of parameters.
const (
	maxConnections = 1 << 25
	maxChannels    = 100_000_000
	maxConcurrency = 1 << 16
	maxProcesses   = 64
	maxThreads     = 256
	maxPublishers  = 64
	maxRounds      = 100
	maxSize        = 512 << 10 // below maxMessageBytes even if a server escapes it
)

// Params is one load test. Fields of scenarios other than Kind's are not looked at.
type Params struct {
	// Kind is Connect, Fanout, Storm or Mixed.
	Kind string `json:"kind"`
	// URL of the server: ws://host:port, with its path prefix if it has one.
	URL string `json:"url"`
	// AppID, AppKey and AppSecret are the app's. The secret signs publishes and
	// subscriptions to private channels, and is in no result.
	AppID     string `json:"app_id"`
	AppKey    string `json:"app_key"`
	AppSecret string `json:"-"`
	// Origin is the Origin header; "" sends none.
	Origin string `json:"origin,omitempty"`
	// Connections over all processes.
	Connections int `json:"connections"`
	// Channels that connections are spread over; of a mixed crowd, those that get
	// events. 0: nobody subscribes (Connect and Storm only).
	Channels int `json:"channels"`
	// ChannelPrefix begins every channel's name; a number follows.
	ChannelPrefix string `json:"channel_prefix"`
	// ConnectRate is connects per second over all processes, each due at its time
	// whatever became of those before; 0: as fast as Concurrency allows.
	ConnectRate float64 `json:"connect_rate_per_second"`
	// Concurrency is the handshakes under way at once, over all processes.
	Concurrency int `json:"concurrency"`
	// Processes, this one included; Threads is loops in each.
	Processes int `json:"processes"`
	Threads   int `json:"threads"`
	// SourceAddresses is auto, none, a count of loopback addresses, or a list.
	SourceAddresses string `json:"source_addresses"`
	// Destinations is how many addresses from the URL's on are connected to in turn.
	Destinations int `json:"destinations"`
	// ConnectTimeout bounds one attempt from connect(2) to the last subscription.
	ConnectTimeout time.Duration `json:"connect_timeout_ns"`
	// Hold is how long Connect holds its connections.
	Hold time.Duration `json:"hold_ns"`
	// Duration is how long Fanout and Mixed publish.
	Duration time.Duration `json:"duration_ns"`
	// PublishRate is publishes per second, PublishSize the bytes of their data.
	PublishRate float64 `json:"publish_rate_per_second"`
	PublishSize int     `json:"publish_size_bytes"`
	// Publishers bounds the connections to the HTTP API.
	Publishers int `json:"publishers"`
	// Grace is how long events may stay away, counted from the last one that came,
	// before they are lost; and how long publishes may be late at the end.
	Grace time.Duration `json:"grace_ns"`
	// Broadcast publishes one event to every channel after the hold of Connect.
	Broadcast bool `json:"broadcast_after_hold"`
	// Rounds of a storm.
	Rounds int `json:"rounds"`
	// IdleShare and ChurnShare are per cent of a mixed crowd; the rest gets events.
	IdleShare  int `json:"idle_share_percent"`
	ChurnShare int `json:"churn_share_percent"`
	// Stay is how long a churning connection stays on average; half to one and a half of it.
	Stay time.Duration `json:"stay_ns"`
	// Force goes on where the host has too few descriptors or ports.
	Force bool `json:"force"`
}

// Default is what every flag stands at.
func Default(kind string) Params {
	p := Params{
		Kind: kind, URL: "ws://127.0.0.1:8080", AppID: "app-id", AppKey: "app-key", AppSecret: "app-secret",
		Connections: 1000, Channels: 1, ChannelPrefix: "bench-", Concurrency: 1000, Processes: 1, Threads: 1,
		SourceAddresses: "auto", Destinations: 1, ConnectTimeout: time.Minute, Hold: 10 * time.Second,
		Duration: 10 * time.Second, PublishRate: 10, PublishSize: 200, Publishers: maxPublishers, Grace: 10 * time.Second,
		Rounds: 3, IdleShare: 70, ChurnShare: 10, Stay: 5 * time.Second,
	}
	if kind == Mixed {
		p.Channels, p.PublishRate = 1000, 100
	}
	return p
}

// publishes says whether the scenario needs the HTTP API while it runs.
func (p *Params) publishes() bool {
	return p.Kind == Fanout || p.Kind == Mixed || p.Kind == Connect && p.Broadcast
}

// plan is who subscribes to what.
func (p *Params) plan() plan {
	return plan{connections: p.Connections, channels: p.Channels, prefix: []byte(p.ChannelPrefix),
		mixed: p.Kind == Mixed, idle: p.IdleShare, churn: p.ChurnShare}
}

// Validate reports every fault, each wrapping ErrUsage.
func (p *Params) Validate() error {
	var faults []error
	whole := func(name string, v, low, high int) {
		if v < low || v > high {
			faults = append(faults, usage("%s %d: use %d to %d", name, v, low, high))
		}
	}
	atLeast := func(name string, d, low time.Duration) {
		if d < low || d > 30*24*time.Hour {
			faults = append(faults, usage("%s %v: use %v to 30 days", name, d, low))
		}
	}
	whole("--connections", p.Connections, 1, maxConnections)
	whole("--concurrency", p.Concurrency, 1, maxConcurrency)
	whole("--processes", p.Processes, 1, min(maxProcesses, max(p.Connections, 1)))
	whole("--threads", p.Threads, 1, maxThreads)
	whole("--destinations", p.Destinations, 1, 1<<16)
	fewest := 0
	if p.publishes() {
		fewest = 1
	}
	whole("--channels", p.Channels, fewest, maxChannels)
	atLeast("--connect-timeout", p.ConnectTimeout, time.Second)
	atLeast("--grace", p.Grace, time.Second)
	if !(p.ConnectRate >= 0 && p.ConnectRate <= 1e7) {
		faults = append(faults, usage("connects per second %v: use 0 to 10,000,000", p.ConnectRate))
	}
	if p.AppKey == "" || p.AppID == "" {
		faults = append(faults, usage("--app-id and --app-key must not be empty"))
	}
	if len(p.ChannelPrefix) == 0 || len(p.ChannelPrefix) > 180 || !plainName(p.ChannelPrefix) {
		faults = append(faults, usage("--channel-prefix %q: 1 to 180 of A-Z a-z 0-9 _ - = @ , . ;", p.ChannelPrefix))
	}
	if strings.HasPrefix(p.ChannelPrefix, "presence-") {
		faults = append(faults, usage("--channel-prefix %s: presence channels are not offered: members would be told of each other, a million messages for each that comes", p.ChannelPrefix))
	}
	if strings.HasPrefix(p.ChannelPrefix, "private-") && p.AppSecret == "" {
		faults = append(faults, usage("--channel-prefix %s: private channels need --app-secret", p.ChannelPrefix))
	}
	faults = append(faults, p.validateKind(whole, atLeast)...)
	return errors.Join(faults...)
}

func (p *Params) validateKind(whole func(string, int, int, int), atLeast func(string, time.Duration, time.Duration)) (faults []error) {
	if p.publishes() {
		whole("--size", p.PublishSize, payloadBytes, maxSize)
		whole("--publishers", p.Publishers, 1, maxPublishers)
		if p.AppSecret == "" {
			faults = append(faults, usage("publishing needs --app-secret"))
		}
	}
	switch p.Kind {
	case Connect:
		atLeast("--hold", p.Hold, 0)
	case Storm:
		whole("--rounds", p.Rounds, 1, maxRounds)
	case Fanout, Mixed:
		atLeast("--duration", p.Duration, 0)
		if !(p.PublishRate > 0 && p.PublishRate <= 1e6) || p.PublishRate*p.Duration.Seconds() >= 1<<32 {
			faults = append(faults, usage("--rate %v: use above 0 to 1,000,000, and less than 2^32 events in all", p.PublishRate))
		}
		if p.Kind == Mixed {
			whole("--idle-share", p.IdleShare, 0, 100)
			whole("--churn-share", p.ChurnShare, 0, 100-min(max(p.IdleShare, 0), 100))
			atLeast("--stay", p.Stay, time.Second)
		}
	default:
		faults = append(faults, usage("no scenario %q", p.Kind))
	}
	return faults
}

func plainName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '-', c == '=', c == '@', c == ',', c == '.', c == ';':
		default:
			return false
		}
	}
	return true
}
