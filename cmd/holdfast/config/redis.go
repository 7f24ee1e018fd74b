package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-edge/holdfast/router/redisurl"
)

const (
	// maxReplicas bounds redis.durable.
	maxReplicas = 100
	// minClusterKey is the shortest key in redis.cluster_key_file, in bytes.
	minClusterKey = 32
	maxPrefix     = 64
)

// Replicas is how many replicas must have a durable event (redis.durable); 0 = durable
// events are refused. The value was checked.
func (r *Redis) Replicas() int {
	n, _ := readReplicas(r.Durable)
	return n
}

func readReplicas(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	digits, ok := strings.CutPrefix(text, "wait:")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > maxReplicas {
		return 0, errors.New("is neither empty nor wait:N")
	}
	return n, nil
}

// checkRedis checks where the broker is, and where broadcasts are read.
func (c *Config) checkRedis(faults *Faults) {
	c.checkRedisURL(faults, "redis.url", c.Redis.URL)
	c.checkRedisURL(faults, "ingest.redis.url", c.Ingest.URL)
	if n := len(c.Redis.Prefix); n < 1 || n > maxPrefix || strings.ContainsAny(c.Redis.Prefix, "{}") {
		faults.add(c.where("redis.prefix"), fmt.Sprintf("use 1 to %d bytes without braces", maxPrefix), "redis.prefix = %s cannot stand in front of keys", quote(c.Redis.Prefix))
	}
	if _, err := readReplicas(c.Redis.Durable); err != nil {
		faults.add(c.where("redis.durable"), fmt.Sprintf(`write "" or "wait:N" with 1 to %d replicas`, maxReplicas), "redis.durable = %s %v", quote(c.Redis.Durable), err)
	}
	if c.Redis.URL != "" {
		c.checkCluster(faults)
	}
	if c.Ingest.URL != "" && !c.hasApp(c.Ingest.App) {
		faults.add(c.where("ingest.redis.app"), "name the id of one of [[apps]]", "ingest.redis.app = %s is no application", quote(c.Ingest.App))
	}
}

// checkRedisURL does not show the address: it may carry a password.
func (c *Config) checkRedisURL(faults *Faults, key string, url Secret) {
	if url == "" {
		return
	}
	if _, err := redisurl.Parse(url.Reveal()); err != nil {
		what, how, _ := strings.Cut(strings.TrimPrefix(err.Error(), redisurl.Err.Error()+": "), "; it ")
		faults.add(c.where(key), "it "+how, "%s: %s", key, what)
	}
}

func (c *Config) checkCluster(faults *Faults) {
	if key := c.ClusterKey; c.Redis.ClusterKeyFile != "" && key != "" && len(key) < minClusterKey {
		faults.add(c.where("redis.cluster_key_file"), "make one with: openssl rand -hex 32, the same on all nodes",
			"redis.cluster_key_file holds %d bytes, at least %d are needed", len(key), minClusterKey)
	}
	for i, h := range c.History {
		if h.Durable && c.Redis.Durable == "" {
			faults.add(c.where(fmt.Sprintf("history[%d].durable", i)), `set redis.durable = "wait:N"`,
				"history.durable = true: with Redis only its replicas make an event durable, and redis.durable is empty")
		}
	}
}

func (c *Config) hasApp(id string) bool {
	for _, app := range c.Apps {
		if app.ID == id {
			return true
		}
	}
	return false
}

// readRedisSecrets reads the files that [redis] names.
func (c *Config) readRedisSecrets(faults *Faults, lenient bool) {
	for _, f := range []struct {
		key, name string
		to        *Secret
	}{
		{"redis.password_file", c.Redis.PasswordFile, &c.RedisPassword},
		{"redis.cluster_key_file", c.Redis.ClusterKeyFile, &c.ClusterKey},
	} {
		if f.name == "" {
			continue
		}
		secret, err := readSecret(f.name)
		if err != nil && !lenient {
			faults.add(c.where(f.key), "make it a readable file with the secret on its only line", "%s: %v", f.key, err)
		}
		*f.to = secret
	}
}
