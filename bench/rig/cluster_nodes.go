package main

import (
	"fmt"
	"syscall"
)

// island is a Redis with the nodes that use it. Owned by the main goroutine.
type island struct {
	redis *server
	ask   *redisConn
	nodes []*server
}

// newIsland starts a fresh Redis on the servers' CPU, which keeps a log as redisTarget has it, and so many nodes on
// another or the same.
func (b *bench) newIsland(t target, appendOnly string, nodes, nodeCPU int) (*island, error) {
	rt, err := redisTarget(appendOnly)
	if err != nil {
		return nil, err
	}
	i := &island{}
	if i.redis, err = startServer(b.ctx, rt, b.cpus.server, b.cpus.client); err != nil {
		return nil, err
	}
	if i.ask, err = i.redis.dialRedis(); err != nil {
		i.stop()
		return nil, err
	}
	t = t.with(t.config, "--redis", fmt.Sprintf("redis://127.0.0.1:%d", i.redis.port))
	for range nodes {
		node, err := startServer(b.ctx, t, nodeCPU, b.cpus.client)
		if err != nil {
			i.stop()
			return nil, err
		}
		i.nodes = append(i.nodes, node)
	}
	return i, nil
}

// stop ends everything. The nodes go first: one that leaves says so to Redis.
func (i *island) stop() {
	i.goOn()
	for _, node := range i.nodes {
		node.stop()
	}
	if i.ask != nil {
		i.ask.close()
	}
	i.redis.stop()
}

// halt stops Redis as a host that hangs would: its connections stand, and nobody answers.
func (i *island) halt() error { return i.redis.cmd.Process.Signal(syscall.SIGSTOP) }

// goOn ends that.
func (i *island) goOn() error { return i.redis.cmd.Process.Signal(syscall.SIGCONT) }

// words is what the nodes printed, as an appendix to an error.
func (i *island) words(b *bench, err error) error {
	if err == nil {
		return nil
	}
	for _, node := range i.nodes {
		err = fmt.Errorf("%w%s", err, b.lastWords(node))
	}
	return err
}
