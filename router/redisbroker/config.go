package redisbroker

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/router/redisurl"
)

// Config is what a Broker is told.
type Config struct {
	// URL says where Redis is (redisurl). A Cluster must be 7.0 or newer, anything else 6.2.
	URL string
	// Password wins over the one in URL. "" = none of its own.
	Password string
	// Prefix stands in front of all names; without braces.
	Prefix string
	// Keys authenticate what nodes tell each other.
	Keys Keys
	// PublishTimeout is how long a publish, or a question, waits for Redis.
	PublishTimeout time.Duration
	// Replicas is how many replicas must have a durable event before it is handed out;
	// 0 = durable events are refused.
	Replicas int
	// Lease is how long a node may be silent until its members are gone, all included.
	Lease time.Duration
	// HeadAge is how long a channel without events keeps its position.
	HeadAge time.Duration
	// IdempotencyAge is how long an idempotency key is kept.
	IdempotencyAge time.Duration
	// CacheBytes bounds the blocks of events that are kept in memory.
	CacheBytes int64
}

// Errors of a configuration, and of a Redis that cannot serve as a broker.
var (
	ErrUnfit    = errors.New("redisbroker: this Redis cannot be the broker")
	ErrEviction = fmt.Errorf("%w: it may evict keys", ErrUnfit)
)

// minSilence is the shortest time after which a connection that says nothing is closed.
const minSilence = 3 * time.Second

// Validate reports every fault, joined. It does not look at Redis.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("redisbroker: "+format, args...)) }
	if _, err := redisurl.Parse(c.URL); err != nil {
		errs = append(errs, err)
	}
	if n := len(c.Prefix); n < 1 || n > 64 || strings.ContainsAny(c.Prefix, "{}") {
		fault("redis.prefix is %q, it must be 1 to 64 bytes without braces", c.Prefix)
	}
	if n := len(c.Keys.Shared); n < keyBytes {
		fault("the cluster key is %d bytes, it must be %d at least", n, keyBytes)
	}
	if c.PublishTimeout < 100*time.Millisecond || c.PublishTimeout > 30*time.Second {
		fault("redis.publish_timeout is %s, it must be 100ms to 30s", c.PublishTimeout)
	}
	if c.Replicas < 0 || c.Replicas > 100 {
		fault("redis.durable asks for %d replicas, it must be 0 to 100", c.Replicas)
	}
	if c.Lease < 3*time.Second || c.Lease > time.Minute {
		fault("redis.lease is %s, it must be 3s to 60s", c.Lease)
	}
	if c.HeadAge < time.Minute || c.IdempotencyAge < time.Second || c.CacheBytes < 1 {
		fault("head age, idempotency age and cache must be above zero")
	}
	return errors.Join(errs...)
}
