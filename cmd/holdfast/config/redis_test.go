package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRedisFaults(t *testing.T) {
	short := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(short, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sets, want string }{
		{"redis.url=http://:hunter2@h", `flag --set: redis.url: the scheme "http" is not known; it looks like redis://`},
		{"ingest.redis.url=redis://a,b", "flag --set: ingest.redis.url: several hosts need redis+sentinel:// or redis+cluster://; it looks like redis://"},
		{"redis.prefix={a}", `flag --set: redis.prefix = "{a}" cannot stand in front of keys; use 1 to 64 bytes without braces`},
		{"redis.durable=2", `flag --set: redis.durable = "2" is neither empty nor wait:N; write "" or "wait:N" with 1 to 100 replicas`},
		{"redis.url=redis://h redis.cluster_key_file=" + short, "flag --set: redis.cluster_key_file holds 5 bytes, at least 32 are needed; make one with: openssl rand -hex 32, the same on all nodes"},
		{"redis.password_file=/nonexistent", "flag --set: redis.password_file: open /nonexistent: no such file or directory; make it a readable file with the secret on its only line"},
		{"ingest.redis.url=redis://h ingest.redis.app=nobody", `flag --set: ingest.redis.app = "nobody" is no application; name the id of one of [[apps]]`},
	} {
		got := faultsOf(t, Input{Sets: strings.Fields(c.sets)})
		if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.sets, got, c.want)
		}
		if strings.Contains(strings.Join(got, ""), "hunter2") {
			t.Errorf("the password is shown: %q", got)
		}
	}
}

func TestRedisValues(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("k", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, Input{Sets: []string{"redis.url=redis+sentinel://a,b/?master=m", "redis.durable=wait:2", "redis.cluster_key_file=" + key, "redis.password_file=" + key}})
	if c.Redis.Replicas() != 2 || c.ClusterKey.Reveal() != strings.Repeat("k", 32) || c.RedisPassword != c.ClusterKey {
		t.Errorf("%+v", c.Redis)
	}
}
