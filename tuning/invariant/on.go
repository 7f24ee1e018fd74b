//go:build invariants

package invariant

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
)

// On tells whether the checks are compiled in.
const On = true

// Owner remembers which goroutine owns a structure. The zero value is ready:
// until Take is called every goroutine passes Check, so that a structure may be
// built by one goroutine and handed to another.
type Owner struct {
	id atomic.Uint64 // goroutine id; 0 = not taken yet
}

// Take makes the calling goroutine the owner.
func (o *Owner) Take() { o.id.Store(goroutineID()) }

// Check panics when the caller is not the goroutine that called Take.
func (o *Owner) Check() {
	want := o.id.Load()
	if want == 0 {
		return
	}
	if got := goroutineID(); got != want {
		panic(fmt.Sprintf("invariant: state of goroutine %d touched by goroutine %d", want, got))
	}
}

// Check panics with msg when ok is false. Guard expensive conditions by On.
func Check(ok bool, msg string) {
	if !ok {
		panic("invariant: " + msg)
	}
}

// goroutineID reads the number from the first line of a stack trace, the only
// public source of it. It costs about a microsecond, hence the build tag.
func goroutineID() uint64 {
	var buf [40]byte
	line := buf[:runtime.Stack(buf[:], false)]
	fields := bytes.Fields(line)
	if len(fields) < 2 {
		return 0
	}
	id, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
