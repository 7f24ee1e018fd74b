package redistest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nodeTimeout is after how long a Cluster, or Sentinel, takes a server for dead.
const nodeTimeout = time.Second

// freePort is one that nobody has.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Cluster is a Redis Cluster of masters with one replica each.
type Cluster struct {
	Servers []*Server // masters first
}

// StartCluster starts one with so many masters.
func StartCluster(t testing.TB, masters int) *Cluster {
	t.Helper()
	c := &Cluster{}
	create := []string{"--cluster", "create"}
	for range 2 * masters {
		s := Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", fmt.Sprint(nodeTimeout.Milliseconds()), "--cluster-port", fmt.Sprint(freePort(t)))
		c.Servers = append(c.Servers, s)
		create = append(create, s.Addr())
	}
	create = append(create, "--cluster-replicas", "1", "--cluster-yes")
	if out, err := exec.Command("redis-cli", create...).CombinedOutput(); err != nil {
		t.Fatalf("redis-cli --cluster create: %v\n%s", err, out)
	}
	c.Settle(t)
	return c
}

// Settle waits until the cluster is whole: every slot is served and every replica follows.
func (c *Cluster) Settle(t testing.TB) {
	t.Helper()
	for _, s := range c.Servers {
		waitFor(t, "the cluster is whole", func() bool {
			// A replica that never had its master's data does not take its place.
			text := s.Text("INFO", "replication")
			return strings.Contains(s.Text("CLUSTER", "INFO"), "cluster_state:ok") &&
				(strings.Contains(text, "connected_slaves:1") || strings.Contains(text, "master_link_status:up"))
		})
	}
}

// URL is redis.url.
func (c *Cluster) URL() string {
	var hosts []string
	for _, s := range c.Servers {
		hosts = append(hosts, s.Addr())
	}
	return "redis+cluster://" + strings.Join(hosts, ",")
}

// Masters are the servers that are masters now.
func (c *Cluster) Masters() []*Server {
	var list []*Server
	for _, s := range c.Servers {
		if s.cmd != nil && strings.Contains(s.Text("INFO", "replication"), "role:master") {
			list = append(list, s)
		}
	}
	return list
}

// Sentinel is a master, its replica, and three sentinels that watch them.
type Sentinel struct {
	Master, Replica *Server

	hosts []string
}

// StartSentinel starts them.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	s := &Sentinel{Master: Start(t), Replica: Start(t)}
	s.Replica.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(s.Master.Port))
	waitFor(t, "the replica follows", func() bool {
		return strings.Contains(s.Replica.Text("INFO", "replication"), "master_link_status:up")
	})
	for range 3 {
		port, dir := freePort(t), t.TempDir()
		conf := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor mymaster 127.0.0.1 %d 2\nsentinel down-after-milliseconds mymaster %d\nsentinel failover-timeout mymaster 5000\n",
			port, dir, s.Master.Port, nodeTimeout.Milliseconds())
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("redis-server", conf, "--sentinel")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		watch := &Server{t: t, Port: port}
		waitFor(t, "the sentinels know each other", func() bool { return watch.Try("PING") == nil })
		s.hosts = append(s.hosts, watch.Addr())
	}
	for _, host := range s.hosts {
		watch := &Server{t: t}
		_, err := fmt.Sscanf(host, "127.0.0.1:%d", &watch.Port)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the sentinels know each other and the replica", func() bool {
			text := watch.Text("INFO", "sentinel")
			return strings.Contains(text, "slaves=1,sentinels=3")
		})
	}
	return s
}

// Swap starts the killed master again, as the replica of the one that took its place.
func (s *Sentinel) Swap(t testing.TB) {
	t.Helper()
	s.Master.Run()
	s.Master.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(s.Replica.Port))
	waitFor(t, "the former master follows", func() bool {
		return strings.Contains(s.Master.Text("INFO", "replication"), "master_link_status:up")
	})
	s.Master, s.Replica = s.Replica, s.Master
}

// URL is redis.url.
func (s *Sentinel) URL() string {
	return "redis+sentinel://" + strings.Join(s.hosts, ",") + "/?master=mymaster"
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not come", what)
		}
	}
}
