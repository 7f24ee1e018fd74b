package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
	"github.com/holdfast-edge/holdfast/router/auth"
	"github.com/holdfast-edge/holdfast/router/redisbroker"
)

// openTimeout bounds the opening of the broker.
const openTimeout = 10 * time.Second

// openBroker connects to Redis; nil without an error when the server stands alone.
func openBroker(c *config.Config, log *slog.Logger) (*redisbroker.Broker, error) {
	if c.Redis.URL == "" {
		return nil, nil //nolint:nilnil // a server of its own
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	b, err := redisbroker.Open(ctx, brokerConfig(c), log)
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	return b, nil
}

func brokerConfig(c *config.Config) redisbroker.Config {
	r := c.Redis
	return redisbroker.Config{
		URL: r.URL.Reveal(), Password: c.RedisPassword.Reveal(), Prefix: r.Prefix, Keys: brokerKeys(c),
		PublishTimeout: r.PublishTimeout, Replicas: r.Replicas(), Lease: r.Lease,
		HeadAge: c.Replay.HeadAge, IdempotencyAge: c.Replay.IdempotencyAge, CacheBytes: int64(c.Replay.CacheBytes),
	}
}

// brokerKeys are the file's key for everything, or keys that are derived from secrets.
func brokerKeys(c *config.Config) redisbroker.Keys {
	if c.ClusterKey != "" {
		return redisbroker.Keys{Shared: []byte(c.ClusterKey.Reveal())}
	}
	apps := appSecrets(c)
	shared := auth.ClusterKey(apps)
	keys := redisbroker.Keys{Shared: shared[:], Apps: map[string][]byte{}}
	for _, app := range apps {
		key := auth.AppKey(app)
		keys.Apps[app.ID] = key[:]
	}
	return keys
}
