package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	terminalEvery = time.Second
	plainEvery    = 5 * time.Second
)

// progress prints how far a run is. Owned by the leader.
type progress struct {
	out      io.Writer // nil: nothing is printed
	terminal bool
	wanted   int
	every    time.Duration
	at       time.Time
	last     sums
	width    int // of the last line on a terminal
}

func newProgress(host Host, p *Params) *progress {
	g := &progress{out: host.Progress, terminal: host.Terminal, wanted: p.Connections, every: plainEvery, at: time.Now()}
	if host.Terminal {
		g.every = terminalEvery
	}
	return g
}

// IsTerminal says whether f is one.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// show prints a line if it is time.
func (g *progress) show(now time.Time, s sums) {
	passed := now.Sub(g.at)
	if g.out == nil || passed < g.every {
		return
	}
	text := g.line(s, passed)
	if g.terminal {
		pad := max(g.width-len(text), 0)
		g.width = len(text)
		fmt.Fprintf(g.out, "\r%s%s", text, strings.Repeat(" ", pad))
	} else {
		fmt.Fprintln(g.out, text)
	}
	g.at, g.last = now, s
}

func (g *progress) line(s sums, passed time.Duration) string {
	perSecond := func(now, before uint64) string {
		return grouped(int64(float64(now-before) / passed.Seconds()))
	}
	return fmt.Sprintf("connected %s of %s, %s/s; failed %s; received %s/s; p99 %s", grouped(int64(s.connected)), grouped(int64(g.wanted)),
		perSecond(s.succeeded, g.last.succeeded), grouped(int64(s.failed)), perSecond(s.received, g.last.received),
		milliseconds(time.Duration(s.p99)*time.Microsecond))
}

// end leaves a terminal's line.
func (g *progress) end() {
	if g.out != nil && g.terminal && g.width > 0 {
		fmt.Fprintln(g.out)
	}
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	first := 0
	if n < 0 {
		first = 1
	}
	for at := len(text) - 3; at > first; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// milliseconds writes a duration with three digits that count.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 100:
		return grouped(int64(ms+0.5)) + " ms"
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}
