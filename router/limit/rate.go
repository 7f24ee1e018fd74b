package limit

import "sync/atomic"

// Rate is a bucket that any goroutine may use. The zero value is full.
type Rate struct {
	// full is the moment of being full again, ns since the process started.
	full atomic.Int64
}

// Take takes one token, or none and returns false. perSecond tokens return in a
// second, up to burst. perSecond 0 is no limit; above 1e9 it is 1e9.
func (r *Rate) Take(now int64, perSecond, burst int) bool {
	if perSecond <= 0 {
		return true
	}
	token := interval(perSecond)
	for {
		old := r.full.Load()
		next := max(old, now) + token
		if next-now > token*int64(max(burst, 1)) {
			return false
		}
		if r.full.CompareAndSwap(old, next) {
			return true
		}
	}
}

// Charge takes n tokens even if they are not there: what comes next waits until the
// debt is paid.
func (r *Rate) Charge(now int64, perSecond, n int) {
	if perSecond <= 0 || n <= 0 {
		return
	}
	for {
		old := r.full.Load()
		if r.full.CompareAndSwap(old, max(old, now)+int64(n)*interval(perSecond)) {
			return
		}
	}
}

// interval is the time in which a token returns.
func interval(perSecond int) int64 { return max(second/int64(perSecond), 1) }
