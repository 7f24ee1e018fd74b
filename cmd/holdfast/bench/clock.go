package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// clock reads CLOCK_MONOTONIC, which all processes of a host share, without a
// system call.
type clock struct {
	base   time.Time
	offset int64 // CLOCK_MONOTONIC at base, in nanoseconds
}

// newClock brackets one reading of the kernel's clock by two of Go's; the
// shortest of some brackets leaves an error below a microsecond.
func newClock() (clock, error) {
	c, best := clock{base: time.Now()}, int64(1<<62)
	for range 16 {
		var ts unix.Timespec
		before := int64(time.Since(c.base))
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			return clock{}, fmt.Errorf("bench: clock_gettime: %w", err)
		}
		after := int64(time.Since(c.base))
		if after-before < best {
			best, c.offset = after-before, ts.Nano()-(before+after)/2
		}
	}
	return c, nil
}

// now is in nanoseconds and never 0.
func (c *clock) now() int64 { return c.offset + int64(time.Since(c.base)) }
