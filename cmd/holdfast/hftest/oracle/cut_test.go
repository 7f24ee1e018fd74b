package oracle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

func isPrivate(channel string) bool { return strings.HasPrefix(channel, "private-") }

// shortHistory is how many events a channel of the short-* rule keeps.
const shortHistory = 40

// Clients that are cut off with RST, FIN or not at all while events flow get what
// they missed, or are told that they cannot.
func TestCutClients(t *testing.T) {
	w := NewWorld(t, hftest.Options{Config: `
[limits]
recover_events = 100000
[[history]]
match = "short-*"
events = 40
age = "1h"
bytes = "1MiB"
[[history]]
match = "*"
events = 1000000
age = "1h"
bytes = "1GiB"
`}, 300)
	began := time.Now()
	p := newProxy(t, w.Edge.Addr, nil)
	long, short := []string{"a", "b", "private-c", "d"}, []string{"short-a", "short-b"}
	var clients, sockets []*Client
	for i := range 30 {
		l := Listener{Name: fmt.Sprint("client ", i), Addrs: []string{p.addr()}, Channels: long, Patience: 300 * time.Millisecond}
		if i%5 == 0 {
			l.Channels = short
		}
		if i%3 > 0 {
			l.Channels, l.Door = slices.DeleteFunc(slices.Clone(l.Channels), isPrivate), Door(i%3)
		}
		c := w.Listen(l)
		clients = append(clients, c)
		if l.Door == WebSocket {
			sockets = append(sockets, c)
		}
	}
	steady := w.Listen(Listener{Name: "steady", Channels: long}) // a slow reader of a short history may be cut off
	for _, channel := range long {
		w.Publish(Source{Channel: channel, Pause: 5 * time.Millisecond, Batch: 4, Except: sockets})
	}
	for _, channel := range short {
		w.Publish(Source{Channel: channel, Pause: 5 * time.Millisecond, Batch: 4})
	}
	var gone *Client // for so long that it misses more than a short history holds
	var until map[string]int
	for n := 0; time.Since(began) < sized(3*time.Second, 10*time.Second, 3*time.Minute); n++ {
		p.cutOne(w.Rand, cut(n%int(cuts)))
		time.Sleep(time.Duration(w.Rand.IntN(25)) * time.Millisecond)
		switch {
		case gone == nil:
			gone, until = clients[w.Rand.IntN(len(clients)/5)*5], map[string]int{}
			gone.Leave()
			for _, channel := range short {
				until[channel] = w.Ledger.Last(channel) + 2*shortHistory
			}
		case w.Ledger.Last(short[0]) > until[short[0]] && w.Ledger.Last(short[1]) > until[short[1]]:
			gone.Return()
			gone = nil
		}
	}
	for _, c := range clients {
		c.Return()
	}
	// While events still flow: a client whose line has fallen silent does not know it
	// yet, and once all is quiet a short history may hold nothing that it lacks.
	for _, c := range clients {
		reached := map[string]int{}
		for _, channel := range c.l.Channels {
			reached[channel] = w.Ledger.Last(channel)
		}
		w.Await("here again: "+c.l.Name, func() bool {
			for channel, at := range reached {
				if c.Newest(channel) < at {
					return false
				}
			}
			return true
		})
	}
	for _, channel := range short {
		w.Keeps[channel] = shortHistory
	}
	v := w.Settle(Policy{Gaps: []string{"expired"}})
	for _, c := range append(clients, steady) {
		if c.l.Channels[0] == "a" && c != steady && c.Dials() < 2 {
			t.Errorf("%s was never cut", c.l.Name)
		}
	}
	if steady.Dials() != 1 {
		t.Errorf("a client that nobody cut has connected %d times", steady.Dials())
	}
	if (v.Gaps["expired"] == 0 || v.Recoveries == 0) && !raceEnabled {
		t.Errorf("%d recoveries, gaps %v: both should be", v.Recoveries, v.Gaps)
	}
	figures := w.Figures(v)
	for how, n := range p.count {
		figures["cut_"+cut(how).String()] = n
	}
	Report(t, "cut", began, w.Seed, figures)
}
