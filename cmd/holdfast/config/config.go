package config

import "time"

// Config is every key of holdfast.toml, converted.
//
// Tags: key = name in the file; default = its text there; min and max = the
// bounds, in the same notation; zero = what 0 means where 0 is allowed beside
// the bounds; oneof = the closed set of a word; reload = SIGHUP may change it;
// secret = never printed; optional = holdfast.toml may leave it out.
type Config struct {
	Server    Server    `key:"server"`
	Admission Admission `key:"admission" reload:"yes"`
	Limits    Limits    `key:"limits" reload:"yes"`
	Replay    Replay    `key:"replay"`
	History   []History `key:"history" reload:"yes"`
	Redis     Redis     `key:"redis"`
	Ingest    Ingest    `key:"ingest.redis"`
	Admin     Admin     `key:"admin"`
	Logging   Logging   `key:"logging"`
	Apps      []App     `key:"apps" reload:"yes"`

	// AdminToken is HOLDFAST_ADMIN_TOKEN or the content of admin.token_file.
	// Empty: the admin listener answers GET to loopback and unix peers only.
	AdminToken Secret

	// RedisPassword and ClusterKey are the contents of redis.password_file and
	// redis.cluster_key_file; empty when there is none.
	RedisPassword, ClusterKey Secret

	// Dev is --dev: demo credentials are accepted on any address.
	Dev bool

	// EchoPath is the hidden --echo-path: a plain WebSocket echo for
	// conformance tools, such as "/echo". Empty: off.
	EchoPath string

	prov provenance
}

// Server is [server].
type Server struct {
	// Listen is host:port, or unix:/path. Port 0 takes any free port.
	Listen string `key:"listen" default:"127.0.0.1:8080"`
	// PathPrefix is removed before routing and is not part of the signed path. Empty or "/ws".
	PathPrefix string `key:"path_prefix" default:""`
	// DataDir is created with mode 0700 by serve.
	DataDir string `key:"data_dir" default:"./data"`
	// Loops is the number of dense loops. 0: one per core.
	Loops int `key:"loops" default:"0" min:"1" max:"256" zero:"one per core"`
	// Compression is "on" or "off"; see CompressionOn.
	Compression string `key:"compression" default:"on" oneof:"off on"`
	// ActivityTimeout is what clients are told, spread a little per connection.
	ActivityTimeout time.Duration `key:"activity_timeout" default:"120s" min:"10s" max:"600s" reload:"yes"`
	// PingGrace is inbound silence beyond ActivityTimeout before the server pings.
	PingGrace time.Duration `key:"ping_grace" default:"15s" min:"1s" max:"120s" reload:"yes"`
	// PongTimeout is how long an answer to that ping may take; then close 4201.
	PongTimeout time.Duration `key:"pong_timeout" default:"30s" min:"5s" max:"120s" reload:"yes"`
	// ShutdownTimeout is the time from SIGTERM to exit.
	ShutdownTimeout time.Duration `key:"shutdown_timeout" default:"10s" min:"1s" max:"600s"`
}

// CompressionOn says whether permessage-deflate is negotiated.
func (s Server) CompressionOn() bool { return s.Compression == "on" }

// Admission is [admission].
type Admission struct {
	// MaxConnections is the ceiling of open sockets. 0: RLIMIT_NOFILE - 512.
	MaxConnections int `key:"max_connections" default:"0" min:"1" zero:"RLIMIT_NOFILE - 512"`
	// AcceptRate is accepted sockets per second; the burst is the same number.
	AcceptRate int `key:"accept_rate" default:"5000" min:"1" max:"1000000"`
	// HalfOpenPerIP caps sockets of one address that are not yet established. 0: off.
	HalfOpenPerIP int `key:"half_open_per_ip" default:"1024" min:"1" max:"65535" zero:"off"`
	// MemoryBytes is the resident size above which nothing is accepted.
	// 0: 85 % of the cgroup limit, else of RAM.
	MemoryBytes Size `key:"memory_bytes" default:"0B" min:"1B" zero:"85 % of the cgroup limit, else of RAM"`
}

// Limits is [limits]; what each answers when it is exceeded is in the limits table of the documentation.
type Limits struct {
	HandshakeTimeout       time.Duration `key:"handshake_timeout" default:"5s" min:"1s" max:"60s"`
	RequestLineBytes       Size          `key:"request_line_bytes" default:"4KiB" min:"1KiB" max:"64KiB"`
	HeadBytes              Size          `key:"head_bytes" default:"8KiB" min:"1KiB" max:"64KiB"`
	HeadCount              int           `key:"head_count" default:"64" min:"8" max:"1024"`
	MessageBytes           Size          `key:"message_bytes" default:"16KiB" min:"1KiB" max:"16MiB"` // after reassembly and inflate
	Fragments              int           `key:"fragments" default:"64" min:"1" max:"4096"`            // per message
	MessageTime            time.Duration `key:"message_time" default:"10s" min:"1s" max:"120s"`       // first to last fragment
	FramesPerSecond        int           `key:"frames_per_second" default:"100" min:"1" max:"100000"` // burst twice that
	ControlFramesPerSecond int           `key:"control_frames_per_second" default:"10" min:"1" max:"1000"`
	Subscriptions          int           `key:"subscriptions" default:"100" min:"1" max:"100000"`         // per connection
	SubscribesPerSecond    int           `key:"subscribes_per_second" default:"100" min:"1" max:"100000"` // burst twice that
	ClientEventsPerSecond  int           `key:"client_events_per_second" default:"10" min:"1" max:"10000"`
	ChannelNameBytes       int           `key:"channel_name_bytes" default:"200" min:"16" max:"200"`
	EventNameBytes         int           `key:"event_name_bytes" default:"200" min:"16" max:"1024"`
	EventDataBytes         Size          `key:"event_data_bytes" default:"10KiB" min:"1KiB" max:"8MiB"` // of the data string; batch: each item
	BodyBytes              Size          `key:"body_bytes" default:"256KiB" min:"16KiB" max:"64MiB"`    // HTTP API request body
	EventChannels          int           `key:"event_channels" default:"100" min:"1" max:"1000"`
	BatchEvents            int           `key:"batch_events" default:"10" min:"1" max:"1000"`
	UserIDBytes            int           `key:"user_id_bytes" default:"128" min:"1" max:"512"`
	UserInfoBytes          Size          `key:"user_info_bytes" default:"2KiB" min:"64B" max:"64KiB"` // channel_data or user_data as received
	PresenceMembers        int           `key:"presence_members" default:"1000" min:"1" max:"100000"` // distinct users a channel
	Watchlist              int           `key:"watchlist" default:"100" min:"1" max:"10000"`
	CacheTTL               time.Duration `key:"cache_ttl" default:"30m" min:"1s" max:"720h"`        // last event of a cache channel
	QueueBytes             Size          `key:"queue_bytes" default:"64KiB" min:"8KiB" max:"16MiB"` // unsent, per connection
	QueueMessages          int           `key:"queue_messages" default:"256" min:"16" max:"65536"`  // unsent, per connection
	DoorChannels           int           `key:"door_channels" default:"20" min:"1" max:"100"`
	PollWait               time.Duration `key:"poll_wait" default:"25s" min:"1s" max:"50s"`
	RecoverEvents          int           `key:"recover_events" default:"1000" min:"1" max:"100000"`
	DurableWaiting         int           `key:"durable_waiting" default:"8192" min:"64" max:"65536"`
	APIEventsPerSecond     int           `key:"api_events_per_second" default:"0" min:"1" zero:"off"` // per app
	AuthWindow             time.Duration `key:"auth_window" default:"600s" min:"60s" max:"3600s"`     // |now - auth_timestamp|
}

// Replay is [replay]: the log as a whole.
type Replay struct {
	Enabled            bool          `key:"enabled" default:"true"`
	GroupEvents        int           `key:"group_events" default:"512" min:"1" max:"8192"`
	SyncInterval       time.Duration `key:"sync_interval" default:"250ms" min:"10ms" max:"10s"`
	CheckpointEvents   int           `key:"checkpoint_events" default:"8192" min:"64" max:"65536"`
	CheckpointInterval time.Duration `key:"checkpoint_interval" default:"250ms" min:"50ms" max:"10s"`
	SegmentBytes       Size          `key:"segment_bytes" default:"256MiB" min:"8MiB" max:"4GiB"`
	SegmentAge         time.Duration `key:"segment_age" default:"1m" min:"10s" max:"1h"`
	DiskBytes          Size          `key:"disk_bytes" default:"4GiB" min:"64MiB" max:"16TiB"`
	CacheBytes         Size          `key:"cache_bytes" default:"64MiB" min:"1MiB" max:"1TiB"`
	HeadAge            time.Duration `key:"head_age" default:"24h" min:"1h" max:"720h"`
	IdempotencyAge     time.Duration `key:"idempotency_age" default:"5m" min:"1m" max:"24h"`
	IdempotencyKeys    int           `key:"idempotency_keys" default:"1000000" min:"1000" max:"100000000"`
}

// History is one [[history]] rule; the first whose glob matches a channel wins; the last one matches "*".
type History struct {
	Match   string        `key:"match" default:"*"`
	Events  int           `key:"events" default:"1000" min:"1" zero:"no history"`
	Age     time.Duration `key:"age" default:"5m" min:"1s" max:"720h"`
	Bytes   Size          `key:"bytes" default:"4MiB" min:"4KiB" max:"1GiB"`
	Replay  bool          `key:"replay" default:"true"`
	Durable bool          `key:"durable" default:"false"`
}

// Redis is [redis]: several nodes.
type Redis struct {
	URL            Secret        `key:"url" default:"" secret:"yes"` // may carry a password
	PasswordFile   string        `key:"password_file" default:""`
	Prefix         string        `key:"prefix" default:"holdfast:"`
	ClusterKeyFile string        `key:"cluster_key_file" default:""`
	PublishTimeout time.Duration `key:"publish_timeout" default:"2s" min:"100ms" max:"30s"`
	Durable        string        `key:"durable" default:""`
	Strict         bool          `key:"strict" default:"false"`
	Lease          time.Duration `key:"lease" default:"10s" min:"3s" max:"60s"`
}

// Ingest is [ingest.redis]: Laravel's redis broadcaster.
type Ingest struct {
	URL    Secret `key:"url" default:"" secret:"yes"`
	Prefix string `key:"prefix" default:"laravel_database_"`
	App    string `key:"app" default:"app-id"`
}

// Admin is [admin].
type Admin struct {
	// Listen is host:port, unix:/path, or "" for no admin listener.
	Listen string `key:"listen" default:"127.0.0.1:9090"`
	// TokenFile holds the admin token; see Config.AdminToken.
	TokenFile string `key:"token_file" default:""`
	// Hosts are the Host names that are answered; others are refused against DNS rebinding.
	Hosts []string `key:"hosts" default:"localhost,127.0.0.1,[::1]"`
	// Pprof serves /debug/pprof.
	Pprof bool `key:"pprof" default:"false"`
}

// Logging is [logging].
type Logging struct {
	Level  string `key:"level" default:"info" oneof:"debug info warn error" reload:"yes"`
	Format string `key:"format" default:"auto" oneof:"json text auto"`
}

// App is one [[apps]] entry.
type App struct {
	ID     string `key:"id" default:"app-id"`
	Key    string `key:"key" default:"app-key"`
	Secret Secret `key:"secret" default:"app-secret" secret:"yes"`
	// SecretFile is read at load and at every reload; its content, less a final
	// newline, becomes Secret.
	SecretFile string `key:"secret_file" default:"" optional:"yes"`
	// Enabled false: WebSockets close with 4003, the API answers 403.
	Enabled bool `key:"enabled" default:"true"`
	// AllowedOrigins are "*", "https://a.example" or "https://*.a.example" (one label).
	AllowedOrigins []string `key:"allowed_origins" default:"*"`
	// ClientEvents is "members" or "off".
	ClientEvents string `key:"client_events" default:"members" oneof:"members off"`
	// SubscriptionCount sends pusher_internal:subscription_count.
	SubscriptionCount bool `key:"subscription_count" default:"false"`
	// MaxConnections of this app. 0: no limit.
	MaxConnections int `key:"max_connections" default:"0" min:"1" zero:"no limit"`
}

// ClientEventsOn says whether members may send client events.
func (a App) ClientEventsOn() bool { return a.ClientEvents == "members" }
