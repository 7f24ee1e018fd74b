package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Print writes the result for a reader.
func (r *Result) Print(w io.Writer) error {
	var b strings.Builder
	r.printConnections(&b)
	if r.Events != nil {
		r.Events.print(&b)
	}
	r.printVerdict(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func row(b *strings.Builder, name, format string, args ...any) {
	fmt.Fprintf(b, "%-22s %s\n", name, fmt.Sprintf(format, args...))
}

func (r *Result) printConnections(b *strings.Builder) {
	c := &r.Connections
	for i := range c.Rounds {
		one := &c.Rounds[i]
		name := "connected"
		if len(c.Rounds) > 1 {
			name = fmt.Sprintf("round %d", i+1)
		}
		again := ""
		if one.Retries > 0 {
			again = fmt.Sprintf(", %s attempts again", grouped(one.Retries))
		}
		row(b, name, "%s of %s in %.2f s, %s/s%s", grouped(one.Subscribed), grouped(c.Wanted), one.Seconds, grouped(int64(one.PerSecond)), again)
		row(b, "  until subscribed", "%s", one.Subscribe)
	}
	row(b, "until TCP connected", "%s", c.TCP)
	row(b, "until established", "%s", c.Established)
	row(b, "failed, dropped", "%s, %s", grouped(c.Failed), grouped(c.Dropped))
	if c.ChurnCycles > 0 {
		row(b, "left and came back", "%s times", grouped(c.ChurnCycles))
	}
	counts(b, "reasons", c.Failures)
	counts(b, "close codes", c.CloseCodes)
	counts(b, "pusher:error", c.Errors)
	for _, s := range c.Samples {
		row(b, "  for example", "%s", s)
	}
	if r.Memory.PerConnection > 0 {
		row(b, "memory of this side", "%s bytes a connection, %.1f MB in all", grouped(int64(r.Memory.PerConnection)), float64(r.Memory.Opened)/1e6)
	}
}

func (e *Events) print(b *strings.Builder) {
	row(b, "published", "%s of %s, %.1f/s over %d connections; %s failed, %s not sent", grouped(e.Published), grouped(e.Due), e.PerSecond,
		e.Publishers, grouped(e.Failed), grouped(e.Unsent))
	row(b, "  sent late", "%s by over 1 ms, the worst by %s", grouped(e.Late), milliseconds(time.Duration(e.MaxLate*1e6)))
	row(b, "  until answered", "%s", e.Answer)
	counts(b, "  reasons", e.Failures)
	for _, s := range e.Samples {
		row(b, "  for example", "%s", s)
	}
	row(b, "received", "%s of %s; the last %s after the first was due", grouped(e.Received), grouped(e.Expected), milliseconds(time.Duration(e.LastAfter*1e6)))
	row(b, "  until received", "%s", e.Delivery)
	row(b, "  lost", "%s", grouped(e.Lost))
	row(b, "  twice, out of order", "%s, %s", grouped(e.Duplicate), grouped(e.Disordered))
	if e.SeqGaps+e.SeqAgain > 0 {
		row(b, "  seq", "%s gaps, %s not rising", grouped(e.SeqGaps), grouped(e.SeqAgain))
	}
	if e.Foreign > 0 {
		row(b, "  of other runs", "%s", grouped(e.Foreign))
	}
}

func (r *Result) printVerdict(b *strings.Builder) {
	if r.Fault != "" {
		row(b, "fault of this side", "%s", r.Fault)
	}
	if r.Interrupted {
		row(b, "interrupted", "after %.1f s; events that were under way are not counted", r.Seconds)
	}
	verdict := "everything connected, nothing lost"
	if r.ExitCode != 0 {
		verdict = "failures or losses, see above"
	}
	row(b, "verdict", "%s", verdict)
}

// String is one line of quantiles.
func (l Latency) String() string {
	ms := func(v float64) string { return milliseconds(time.Duration(v * 1e6)) }
	if l.Count == 0 {
		return "–"
	}
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
}

// counts prints a table of reasons, the most frequent first.
func counts(b *strings.Builder, name string, of map[string]int64) {
	reasons := slices.Collect(maps.Keys(of))
	slices.SortFunc(reasons, func(x, y string) int {
		if of[x] != of[y] {
			return int(min(max(of[y]-of[x], -1), 1))
		}
		return strings.Compare(x, y)
	})
	for i, reason := range reasons {
		if i > 0 {
			name = ""
		}
		row(b, name, "%s × %s", grouped(of[reason]), reason)
	}
}
