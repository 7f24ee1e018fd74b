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
	key := []byte(c.ClusterKey.Reveal())
	if len(key) == 0 {
		derived := auth.ClusterKey(appSecrets(c))
		key = derived[:]
	}
	return redisbroker.Config{
		URL: r.URL.Reveal(), Password: c.RedisPassword.Reveal(), Prefix: r.Prefix, ClusterKey: key,
		PublishTimeout: r.PublishTimeout, Replicas: r.Replicas(), Lease: r.Lease,
		HeadAge: c.Replay.HeadAge, IdempotencyAge: c.Replay.IdempotencyAge, CacheBytes: int64(c.Replay.CacheBytes),
	}
}
