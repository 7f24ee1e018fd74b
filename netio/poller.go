package netio

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cloudwego/netpoll"
)

// netpoll is configured through variables of its own package, which its pollers
// read without a lock. They are set here, once, before the first door opens, and
// nowhere else.
var (
	pollerOnce  sync.Once
	pollerFault error
	pollerLog   atomic.Pointer[slog.Logger] // of the door that was made last
)

const (
	// pollers is one: netpoll finishes taking a socket from our listener after it
	// has registered it, and only on the same goroutine nothing can happen between.
	pollers = 1
	// pollerBuffer is what a connection is given to read into, in bytes; netpoll's
	// smallest. It grows with what a client sends at once.
	pollerBuffer = 4096
)

// configurePoller sets netpoll's globals. log receives what netpoll prints.
func configurePoller(log *slog.Logger) error {
	pollerLog.Store(log)
	pollerOnce.Do(func() {
		pollerFault = netpoll.Configure(netpoll.Config{
			PollerNum:    pollers,
			BufferSize:   pollerBuffer,
			LoadBalance:  netpoll.RoundRobin,
			LoggerOutput: pollerSink{},
			Runner:       runPollerTask,
		})
	})
	return pollerFault
}

// runPollerTask takes the place of netpoll's goroutine pool: a conversation's
// work goes to its door, which bounds it, keeps it in order and survives its
// panics. It runs on the poller's goroutine and does not block.
func runPollerTask(ctx context.Context, task func()) {
	if c, ok := ctx.Value(doorKey{}).(*doorConn); ok {
		c.schedule(task)
		return
	}
	go task()
}

// pollerSink turns a line of netpoll's logger into a record of ours.
type pollerSink struct{}

func (pollerSink) Write(line []byte) (int, error) {
	text := line
	if _, after, ok := bytes.Cut(line, []byte("NETPOLL: ")); ok {
		text = after // without netpoll's own date
	}
	pollerLog.Load().Warn("netpoll reports a fault", "err", string(bytes.TrimSpace(text)))
	return len(line), nil
}
