package netio

import (
	"time"

	"github.com/holdfast-edge/holdfast/netio/wheel"
)

// clock reads monotonic nanoseconds since the process started. It is the only
// reader of time in this package; everything else is told what time it is.
type clock struct{ start time.Time }

func newClock() clock { return clock{start: time.Now()} }

func (c clock) now() int64 { return int64(time.Since(c.start)) }

// tickOf converts monotonic nanoseconds to the wheel's whole seconds. Tick 0 is
// left to "never": the first second is tick 1.
func tickOf(now int64) wheel.Tick { return wheel.Tick(now/int64(time.Second)) + 1 }

// atLeast converts a duration to the ticks after which it has surely passed: the one
// under way has passed in part, and nothing may be ended early.
func atLeast(d time.Duration) wheel.Tick { return seconds(d) + 1 }

// seconds converts a duration to ticks, rounded up, at least 1.
func seconds(d time.Duration) wheel.Tick {
	return wheel.Tick(max(1, (d+time.Second-1)/time.Second))
}
