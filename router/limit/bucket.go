package limit

const second = int64(1e9)

// Bucket is a bucket in four bytes, for records of which there are millions. It is
// owned by one goroutine. The zero value is full.
//
// The state is the moment of being full again in ticks: one sixteenth of the time
// in which a token returns, or, above 1,000 tokens a second, that whole time. So no
// rate is rounded. Ticks wrap, after 31 days at 100 tokens a second. A moment more
// than two bursts ahead cannot have come from this turn of the clock and is one
// that lies in the past, so a bucket that rested for days is full; only a rest that
// ends within two bursts of a whole turn, at odds of one in a million, is mistaken
// for use, and for no longer than it takes to refill.
type Bucket uint32

// maxBurst keeps two bursts of ticks far from the 32 bits of the state.
const maxBurst = 1 << 22

// Take takes one token, or none and returns false. perSecond tokens return in a
// second, up to burst. perSecond 0 is no limit.
func (b *Bucket) Take(now int64, perSecond, burst int) bool {
	if perSecond <= 0 {
		return true
	}
	clock, token := ticks(now, perSecond)
	used := b.used(clock, token, burst)
	if used+token > token*size(burst) {
		return false
	}
	*b = Bucket(clock + used + token)
	return true
}

// Charge takes one token even if there is none. The debt is bounded: it is never
// more than burst.
func (b *Bucket) Charge(now int64, perSecond, burst int) {
	if perSecond <= 0 {
		return
	}
	clock, token := ticks(now, perSecond)
	used := min(b.used(clock, token, burst)+token, 2*token*size(burst))
	*b = Bucket(clock + used)
}

// Ready tells whether Take would succeed.
func (b *Bucket) Ready(now int64, perSecond, burst int) bool {
	if perSecond <= 0 {
		return true
	}
	clock, token := ticks(now, perSecond)
	return b.used(clock, token, burst)+token <= token*size(burst)
}

// used is what is missing from a full bucket, in ticks; more than a burst is debt.
func (b *Bucket) used(clock, token uint32, burst int) uint32 {
	ahead := uint32(*b) - clock
	if ahead > 2*token*size(burst) {
		return 0
	}
	return ahead
}

// size is a burst as it is used: at least one token.
func size(burst int) uint32 { return uint32(min(max(burst, 1), maxBurst)) }

// ticks reads the clock in ticks of a rate, wrapping, and tells how many a token is.
func ticks(now int64, perSecond int) (clock, token uint32) {
	token = 16
	if perSecond > 1000 {
		token = 1
	}
	rate := int64(perSecond) * int64(token)
	return uint32(now/second*rate + now%second*rate/second), token
}
