package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// channels are those that somebody publishes to.
func (w *World) channels() []string {
	names := map[string]bool{}
	for _, p := range w.publishers {
		names[p.s.Channel] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// ask puts a question to a server, and again while not all nodes of a cluster answer.
func (w *World) ask(path string, query url.Values) (r hftest.Response) {
	w.t.Helper()
	for deadline := time.Now().Add(hftest.Patience); ; time.Sleep(20 * time.Millisecond) {
		r = w.Edge.Call(http.MethodGet, path, query, nil)
		if len(w.Edges) == 1 || r.Status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return r
		}
	}
}

// Position asks where a channel stands; none if it has no history.
func (w *World) Position(channel string) Position {
	w.t.Helper()
	r := w.ask("/channels/"+channel, url.Values{"info": {"position"}})
	var body struct {
		Position Position
		Code     string
	}
	err := json.Unmarshal([]byte(r.Body), &body)
	if body.Code == "bad_info" {
		return Position{}
	}
	if err != nil || r.Status != http.StatusOK {
		w.t.Fatalf("position of %s: %d %s, %v", channel, r.Status, r.Body, err)
	}
	return body.Position
}

// SameEpochs looks whether the channels have the epochs that they had before, and
// returns those that have another one.
func (w *World) SameEpochs() (changed []string) {
	w.t.Helper()
	for _, channel := range w.channels() {
		epoch := w.Position(channel).Epoch
		if before := w.epochs[channel]; before != "" && before != epoch {
			changed = append(changed, fmt.Sprintf("%s from %s to %s", channel, before, epoch))
			w.epochsNew++
		}
		w.epochs[channel] = epoch
	}
	return changed
}

// History reads a channel's history to its head, from a position on, or all that is
// kept. ok is false when the position is not in it any more.
func (w *World) History(channel string, since Position) (k Kept, ok bool) {
	w.t.Helper()
	query := url.Values{"limit": {"1000"}}
	if since.Epoch != "" {
		query.Set("since", since.String())
	}
	for {
		r := w.ask("/channels/"+channel+"/history", query)
		var page struct {
			Position Position
			Oldest   uint64
			Events   []KeptEvent
			Next     *string
		}
		if err := json.Unmarshal([]byte(r.Body), &page); err != nil {
			w.t.Fatalf("history of %s: %d %s, %v", channel, r.Status, r.Body, err)
		}
		if r.Status == http.StatusGone {
			return Kept{At: page.Position, Oldest: page.Oldest}, false
		}
		if r.Status != http.StatusOK {
			w.t.Fatalf("history of %s: %d %s", channel, r.Status, r.Body)
		}
		k.At, k.Oldest = page.Position, page.Oldest
		k.Events = append(k.Events, page.Events...)
		if page.Next == nil {
			return k, true
		}
		query.Set("since", *page.Next)
	}
}

// answeredSoFar is the newest event of each channel that was taken and has a
// position. It is asked for while the server is away.
func (w *World) answeredSoFar() map[string]int {
	l := w.Ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := map[string]int{}
	for channel, p := range l.pages {
		for n := len(p.entries); n > 0 && newest[channel] == 0; n-- {
			if e := &p.entries[n-1]; e.outcome == Taken && e.at.Epoch != "" {
				newest[channel] = n
			}
		}
	}
	return newest
}

// checkReplayable looks whether the history has everything that was taken up to the
// events in newest, since the last time that it looked. The whole is looked at in
// the end; this names the restart that lost something.
func (w *World) checkReplayable(newest map[string]int) {
	w.t.Helper()
	for channel, n := range newest {
		since := w.checked[channel]
		k, ok := w.History(channel, since)
		if !ok {
			w.t.Errorf("seed %d: the history of %s does not have %s any more, it stands at %s", w.Seed, channel, since, k.At)
			continue
		}
		w.checked[channel] = w.kept(channel, k, since, n)
	}
}

// kept checks that k has every event up to n that was taken behind since, and
// returns the position of n.
func (w *World) kept(channel string, k Kept, since Position, n int) Position {
	w.t.Helper()
	there := map[Position]string{}
	for _, e := range k.Events {
		there[Position{k.At.Epoch, e.Seq}] = e.Data
	}
	l := w.Ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		e := &l.pages[channel].entries[i]
		if e.outcome != Taken || e.at.Epoch != k.At.Epoch || e.at.Seq <= since.Seq {
			continue
		}
		if got, ok := l.Read(channel, there[e.at]); !ok || got != i+1 {
			w.t.Errorf("seed %d: %s: event %d at %s was answered and is not replayed, but %.80q", w.Seed, channel, i+1, e.at, there[e.at])
		}
	}
	return l.pages[channel].entries[n-1].at
}
