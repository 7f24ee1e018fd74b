package bench

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// wave is one opening of all connections. Times are CLOCK_MONOTONIC in nanoseconds.
type wave struct {
	Began      int64     `json:"began"` // the first connect
	Ended      int64     `json:"ended"` // the last success
	Subscribed int64     `json:"subscribed"`
	Retries    int64     `json:"retries"` // attempts after a failed one
	Subscribe  Histogram `json:"subscribe"`
}

// tally is what loops count. Merging those of all loops and processes gives the
// result. Owned by one goroutine at a time.
type tally struct {
	Waves []wave `json:"waves"`

	// Connections.
	Failed      int64            `json:"failed"`    // given up before they were subscribed
	Dropped     int64            `json:"dropped"`   // ended by the server or the network once subscribed
	Connected   int64            `json:"connected"` // at the end
	ChurnCycles int64            `json:"churn_cycles"`
	Failures    map[string]int64 `json:"failures"` // attempts and connections that ended, by reason
	Closes      map[string]int64 `json:"closes"`   // by code
	Errors      map[string]int64 `json:"errors"`   // pusher:error frames by code
	Samples     []string         `json:"samples"`  // texts of the first errors
	TCP         Histogram        `json:"tcp"`      // due to connected
	Established Histogram        `json:"established"`

	// Events.
	Expected   int64     `json:"expected"`
	Received   int64     `json:"received"` // of Expected; early ones apart
	Early      int64     `json:"early"`
	Lost       int64     `json:"lost"`
	Duplicate  int64     `json:"duplicate"`
	Disordered int64     `json:"disordered"`
	Overtaken  int64     `json:"overtaken"`
	Foreign    int64     `json:"foreign"` // events of other runs or publishers
	SeqGaps    int64     `json:"seq_gaps"`
	SeqAgain   int64     `json:"seq_again"`
	LastEvent  int64     `json:"last_event"` // ns, CLOCK_MONOTONIC
	Delivery   Histogram `json:"delivery"`
	Bytes      int64     `json:"bytes"` // read, in all

	// Signs of life.
	PingsSent     int64 `json:"pings_sent"`
	PingsAnswered int64 `json:"pings_answered"`
}

// Bounds of what is kept about faults, so that a server with endless ideas of
// errors does not fill the memory.
const (
	maxReasons     = 256
	maxSamples     = 5
	maxSampleBytes = 300
)

func newTally(waves int) *tally {
	return &tally{Waves: make([]wave, waves), Failures: map[string]int64{}, Closes: map[string]int64{}, Errors: map[string]int64{}}
}

func count(in map[string]int64, reason string, n int64) {
	if _, known := in[reason]; !known && len(in) >= maxReasons {
		reason = "other"
	}
	in[reason] += n
}

func (t *tally) sample(text string) {
	if len(t.Samples) < maxSamples {
		t.Samples = append(t.Samples, text[:min(len(text), maxSampleBytes)])
	}
}

func (t *tally) merge(o *tally) {
	for i := range o.Waves {
		if i == len(t.Waves) {
			t.Waves = append(t.Waves, wave{})
		}
		t.Waves[i].merge(&o.Waves[i])
	}
	for _, pair := range []struct{ to, from map[string]int64 }{{t.Failures, o.Failures}, {t.Closes, o.Closes}, {t.Errors, o.Errors}} {
		for reason, n := range pair.from {
			count(pair.to, reason, n)
		}
	}
	for _, text := range o.Samples {
		t.sample(text)
	}
	for _, pair := range []struct{ to, from *int64 }{
		{&t.Failed, &o.Failed}, {&t.Dropped, &o.Dropped}, {&t.Connected, &o.Connected}, {&t.ChurnCycles, &o.ChurnCycles},
		{&t.Expected, &o.Expected}, {&t.Received, &o.Received}, {&t.Early, &o.Early}, {&t.Lost, &o.Lost},
		{&t.Duplicate, &o.Duplicate}, {&t.Disordered, &o.Disordered}, {&t.Overtaken, &o.Overtaken}, {&t.Foreign, &o.Foreign},
		{&t.SeqGaps, &o.SeqGaps}, {&t.SeqAgain, &o.SeqAgain}, {&t.Bytes, &o.Bytes},
		{&t.PingsSent, &o.PingsSent}, {&t.PingsAnswered, &o.PingsAnswered},
	} {
		*pair.to += *pair.from
	}
	t.LastEvent = max(t.LastEvent, o.LastEvent)
	t.TCP.Merge(&o.TCP)
	t.Established.Merge(&o.Established)
	t.Delivery.Merge(&o.Delivery)
}

func (w *wave) merge(o *wave) {
	if w.Began == 0 || o.Began != 0 && o.Began < w.Began {
		w.Began = o.Began
	}
	w.Ended = max(w.Ended, o.Ended)
	w.Subscribed += o.Subscribed
	w.Retries += o.Retries
	w.Subscribe.Merge(&o.Subscribe)
}

// errnoName is the symbol of a system call's error.
func errnoName(err error) string {
	if errno, ok := err.(syscall.Errno); ok {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
	}
	return fmt.Sprint(err)
}
