package bench

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Build names the program.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
}

// Machine is where the load came from.
type Machine struct {
	Host   string `json:"host"`
	Kernel string `json:"kernel"`
	CPUs   int    `json:"cpus"` // that this process may use
	Go     string `json:"go"`
	Build  Build  `json:"holdfast"`
}

// Result is what a run found. Latencies are in milliseconds.
type Result struct {
	Machine     Machine     `json:"machine"`
	Parameters  Params      `json:"parameters"`
	Began       time.Time   `json:"began"`
	Seconds     float64     `json:"seconds"`
	Interrupted bool        `json:"interrupted"`
	Fault       string      `json:"fault,omitempty"` // of this side: a process that died, a system call
	Connections Connections `json:"connections"`
	Events      *Events     `json:"events,omitempty"`
	Memory      Memory      `json:"client_memory"`
	// ExitCode is 0 when every connection was made and kept and nothing was lost,
	// doubled or out of order; else 1.
	ExitCode int `json:"exit_code"`
}

// Latency is a distribution, in milliseconds; exact to 0.8 %, max exactly.
type Latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99.9"`
	Max   float64 `json:"max"`
}

func latency(h *Histogram) Latency {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return Latency{Count: h.Count(), P50: ms(h.Quantile(0.5)), P90: ms(h.Quantile(0.9)), P99: ms(h.Quantile(0.99)),
		P999: ms(h.Quantile(0.999)), Max: ms(h.Max())}
}

// Round is one opening of all connections.
type Round struct {
	Subscribed int64   `json:"subscribed"`
	Retries    int64   `json:"retries"`
	Seconds    float64 `json:"seconds"` // from the first connect to the last success
	PerSecond  float64 `json:"per_second"`
	// Subscribe counts from when a connection was due: in a storm since the cut,
	// at a rate its turn, else connect(2). To its last subscription's success.
	Subscribe Latency `json:"subscribe_ms"`
}

// Connections is what became of them.
type Connections struct {
	Wanted      int64            `json:"wanted"`
	Rounds      []Round          `json:"rounds"`
	AtEnd       int64            `json:"at_end"`
	Failed      int64            `json:"failed"`
	Dropped     int64            `json:"dropped"`
	ChurnCycles int64            `json:"churn_cycles"`
	TCP         Latency          `json:"tcp_ms"`         // due to connected
	Established Latency          `json:"established_ms"` // due to pusher:connection_established
	Failures    map[string]int64 `json:"failures"`
	CloseCodes  map[string]int64 `json:"close_codes"`
	Errors      map[string]int64 `json:"pusher_errors"`
	Samples     []string         `json:"samples,omitempty"`
	PingsSent   int64            `json:"pings_sent"`
	PingsGot    int64            `json:"pings_answered"`
	Bytes       int64            `json:"bytes_received"`
}

// Events is what became of what was published.
type Events struct {
	Due         int64            `json:"due"`
	Published   int64            `json:"published"` // answered 200
	Failed      int64            `json:"publish_failed"`
	Unsent      int64            `json:"publish_unsent"`
	Failures    map[string]int64 `json:"publish_failures"`
	Samples     []string         `json:"publish_samples,omitempty"`
	Late        int64            `json:"publish_late"` // sent over 1 ms after their time
	MaxLate     float64          `json:"publish_max_late_ms"`
	PerSecond   float64          `json:"published_per_second"`
	Publishers  int              `json:"publisher_connections"`
	Answer      Latency          `json:"publish_answer_ms"` // due to the answer
	Expected    int64            `json:"expected"`
	Received    int64            `json:"received"`
	Lost        int64            `json:"lost"`
	Duplicate   int64            `json:"duplicate"`
	Disordered  int64            `json:"out_of_order"`
	Overtaken   int64            `json:"overtaken"` // among publishes that were under way at once: no fault
	Early       int64            `json:"early"`     // under way at the subscription: may come or not
	Foreign     int64            `json:"foreign"`
	SeqGaps     int64            `json:"seq_gaps"`
	SeqAgain    int64            `json:"seq_not_rising"`
	Delivery    Latency          `json:"delivery_ms"`   // due to reception
	LastAfter   float64          `json:"last_after_ms"` // the last reception, after the first was due
	DrainFailed bool             `json:"waited_for_missing"`
}

// Memory is this side's, all processes together.
type Memory struct {
	Before        int64   `json:"resident_before_bytes"`
	Opened        int64   `json:"resident_opened_bytes"`
	Connections   int64   `json:"connections"`
	PerConnection float64 `json:"bytes_per_connection"` // what opening added
}

func newResult(p *Params, out *outcome, l *leader, build Build) *Result {
	t := out.Tally
	r := &Result{Machine: thisMachine(build), Parameters: *p, Connections: connectionsOf(p, t)}
	r.Memory = Memory{Before: out.Memory.Before, Opened: out.Memory.Opened, Connections: out.Memory.AtOpen}
	if n := out.Memory.AtOpen; n > 0 && out.Memory.Opened > 0 {
		r.Memory.PerConnection = float64(out.Memory.Opened-out.Memory.Before) / float64(n)
	}
	if l.published != nil {
		r.Events = eventsOf(t, l.published, l.unfinish)
	}
	return r
}

func connectionsOf(p *Params, t *tally) Connections {
	c := Connections{Wanted: int64(p.Connections), AtEnd: t.Connected, Failed: t.Failed, Dropped: t.Dropped, ChurnCycles: t.ChurnCycles,
		TCP: latency(&t.TCP), Established: latency(&t.Established), Failures: t.Failures, CloseCodes: t.Closes, Errors: t.Errors,
		Samples: t.Samples, PingsSent: t.PingsSent, PingsGot: t.PingsAnswered, Bytes: t.Bytes}
	for i := range t.Waves {
		w := &t.Waves[i]
		one := Round{Subscribed: w.Subscribed, Retries: w.Retries, Subscribe: latency(&w.Subscribe)}
		if w.Ended > w.Began {
			one.Seconds = float64(w.Ended-w.Began) / 1e9
			one.PerSecond = float64(w.Subscribed) / one.Seconds
		}
		c.Rounds = append(c.Rounds, one)
	}
	return c
}

func eventsOf(t *tally, p *published, unfinished bool) *Events {
	e := &Events{Due: p.Due, Published: p.Answered, Failed: p.Failed, Unsent: p.Unsent, Failures: p.Reasons, Samples: p.Samples,
		Late: p.Late, MaxLate: float64(p.MaxLate) / 1e6, Publishers: p.Open, Answer: latency(&p.Answer),
		Expected: t.Expected, Received: t.Received, Lost: t.Lost, Duplicate: t.Duplicate, Disordered: t.Disordered,
		Overtaken: t.Overtaken, Early: t.Early, Foreign: t.Foreign, SeqGaps: t.SeqGaps, SeqAgain: t.SeqAgain,
		Delivery: latency(&t.Delivery), DrainFailed: unfinished}
	if p.Ended > p.Began {
		e.PerSecond = float64(p.Answered) / (float64(p.Ended-p.Began) / 1e9)
	}
	if t.LastEvent > p.Began {
		e.LastAfter = float64(t.LastEvent-p.Began) / 1e6
	}
	return e
}

// judge sets the exit code.
func (r *Result) judge() {
	bad := r.Fault != "" || r.Connections.Failed > 0 || r.Connections.Dropped > 0
	for _, one := range r.Connections.Rounds {
		bad = bad || one.Subscribed != r.Connections.Wanted
	}
	if e := r.Events; e != nil {
		bad = bad || e.Failed > 0 || e.Unsent > 0 && !r.Interrupted || e.Lost > 0 || e.Duplicate > 0 || e.Disordered > 0 || e.SeqGaps > 0 || e.SeqAgain > 0
	}
	r.ExitCode = int(one(bad))
}

func thisMachine(build Build) Machine {
	m := Machine{CPUs: runtime.GOMAXPROCS(0), Go: runtime.Version(), Build: build}
	m.Host, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = fmt.Sprintf("%s %s", unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]))
	}
	return m
}
