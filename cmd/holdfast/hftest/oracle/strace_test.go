package oracle

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// busyDisk is Keep with a log that goes to its files as often as it can.
const busyDisk = Keep + `
[replay]
sync_interval = "10ms"
checkpoint_interval = "50ms"
segment_age = "10s"
segment_bytes = "8MiB"
`

// failing is what a disk that fails for a while excuses. No position: whoever was told
// "unavailable" and cut off again had none to show.
var failing = Policy{Gaps: []string{"unavailable", "epoch", "no position"}, Turns: true}

// writing are the calls that fail, each with each error, on one kind of file at a time.
var writing = []struct{ calls, err string }{
	{"pwrite64,write", "EIO"},
	{"pwrite64,write", "ENOSPC"},
	{"fdatasync", "EIO"},
	{"fdatasync", "ENOSPC"},
	{"fsync", "EIO"},
	{"ftruncate", "EIO"},
	{"ftruncate", "ENOSPC"},
	{"mmap", "ENOMEM"},
	{"mmap", "EIO"},
}

// madeWhileServing are the calls that a serving server makes on a kind of file. The
// others are made at a start, or not at all.
var madeWhileServing = map[string][]string{
	"journal":     {"pwrite64,write", "fdatasync"},
	"heads":       {"pwrite64,write", "fdatasync"},
	"segments":    {"pwrite64,write", "fdatasync", "fsync", "ftruncate", "mmap"},
	"directories": {"fsync"},
}

// A server whose calls on the files of its log fail goes on delivering, says of
// durable events what is true, and loses nothing silently, then or after a restart.
func TestFailingCalls(t *testing.T) {
	needStrace(t)
	for _, kind := range sized([]string{"journal", "segments"}, kindsOfFile[:4], kindsOfFile[:4]) {
		t.Run(kind, func(t *testing.T) { failingCalls(t, kind) })
	}
}

func failingCalls(t *testing.T, kind string) {
	w := NewWorld(t, hftest.Options{Config: busyDisk}, 600)
	began := time.Now()
	channels := []string{"plain-1", "plain-2", "durable-1", "durable-2"}
	for i := range 2 {
		w.Listen(Listener{Name: fmt.Sprint("steady ", i), Channels: channels})
	}
	restless := w.Listen(Listener{Name: "restless", Channels: channels})
	for _, channel := range channels {
		w.Publish(Source{Channel: channel, Durable: channel[0] == 'd', Pause: 10 * time.Millisecond, Batch: 3})
	}
	injected := map[string]int{}
	var slowest, ready time.Duration // to be well again, and to start
	for round := range sized(1, 1, 8) {
		for _, c := range writing {
			i := injection{Files: []string{kind}, Calls: c.calls, Error: c.err}
			if raceEnabled && (c.err == "ENOSPC" || !slices.Contains(madeWhileServing[kind], c.calls)) {
				continue
			}
			if round > 0 {
				i.When = fmt.Sprintf(":when=%d+%d", 1+w.Rand.IntN(5), 1+w.Rand.IntN(4)) // now and then
			}
			// Some calls are made only when a file is begun: one that fails brings that about.
			switch {
			case kind == "segments" && (c.calls == "mmap" || c.calls == "ftruncate" || c.calls == "fsync"):
				i.Also = "fdatasync:error=EIO:when=1"
			case kind == "directories" && c.calls == "fsync":
				i.Files, i.Also = append(i.Files, "journal"), "fdatasync:error=EIO:when=1"
			}
			w.Note(i.String())
			s := inject(t, w.Edge, i)
			time.Sleep(200 * time.Millisecond)
			restless.Leave()
			time.Sleep(100 * time.Millisecond)
			restless.Return()
			time.Sleep(100 * time.Millisecond)
			if slices.Contains(madeWhileServing[kind], c.calls) && !eventually(func() bool { return s.injected() > 0 }) {
				t.Errorf("%s: the server never made such a call: nothing was proved", i)
			}
			injected[i.Calls+" "+i.Error] += s.stop()
			slowest = max(slowest, w.well(i))
		}
		if round%2 == 0 {
			w.Edge.Kill()
		} else if code := w.Edge.Stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		ready = max(ready, w.Start())
	}
	v := w.Settle(failing)
	w.Edge.Kill()
	checkDir(t, w.Edge)
	figures := w.Figures(v)
	figures["injected"] = injected
	figures["well_again_ms_max"] = slowest.Milliseconds()
	figures["ready_ms_max"] = ready.Milliseconds()
	figures["plain_answer_ms_max"] = w.Slowest(func(s Source) bool { return !s.Durable }).Milliseconds()
	Report(t, "strace-"+kind, began, w.Seed, figures)
}

// well waits until the server stores durable events again, and returns how long that took.
func (w *World) well(after injection) time.Duration {
	w.t.Helper()
	began := time.Now()
	body := map[string]any{"name": "probe", "channels": []string{"probe"}, "data": "", "durable": true}
	var last hftest.Response
	if !eventually(func() bool {
		r, err := w.Edge.Ask(w.http, http.MethodPost, "/events", nil, body)
		last = r
		return err == nil && r.Status == http.StatusOK
	}) {
		w.t.Fatalf("after %s: no durable event is taken: %d %s", after, last.Status, last.Body)
	}
	return time.Since(began)
}

// A server whose calls fail while it starts comes up, or says why not and comes up
// the next time; either way nothing is lost silently.
func TestFailingStart(t *testing.T) {
	needStrace(t)
	w := NewWorld(t, hftest.Options{Config: busyDisk}, 600)
	began := time.Now()
	channels := []string{"plain-1", "durable-1"}
	w.Listen(Listener{Name: "steady", Channels: channels})
	for _, channel := range channels {
		w.Publish(Source{Channel: channel, Durable: channel[0] == 'd', Pause: 10 * time.Millisecond, Batch: 3})
	}
	injected, refused := 0, map[string]string{}
	for _, kind := range kindsOfFile {
		for _, c := range writing {
			if !Soak() && c.err == "ENOSPC" && kind != "journal" || raceEnabled && c.calls != "pwrite64,write" {
				continue
			}
			time.Sleep(20 * time.Millisecond)
			w.Edge.Kill()
			i := injection{Files: []string{kind}, Calls: c.calls, Error: c.err}
			w.Note("start with " + i.String())
			n, why := failingStart(t, w.Edge, i)
			w.Note(fmt.Sprintf("%d injected; %s", n, why))
			injected += n
			if why != "" {
				refused[kind+" "+c.calls+" "+c.err] = why
			}
			w.Start()
		}
	}
	v := w.Settle(failing)
	w.Edge.Kill()
	checkDir(t, w.Edge)
	figures := w.Figures(v)
	figures["injected"], figures["starts_refused"] = injected, refused
	Report(t, "strace-start", began, w.Seed, figures)
}

// failingStart starts a server whose calls fail, and ends it. refused is what it says
// if it does not come up.
func failingStart(t *testing.T, e *hftest.Edge, i injection) (injected int, refused string) {
	t.Helper()
	s := &tracer{t: t, file: filepath.Join(t.TempDir(), "strace")}
	if err := os.WriteFile(s.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.TryRun(append(i.args(t, e, s.file), "-D")...); err == nil {
		time.Sleep(50 * time.Millisecond)
		e.Kill()
		return s.stop(), ""
	}
	log := e.Log()
	for line := range strings.Lines(log[max(0, strings.LastIndex(log, " starts, revision")):]) {
		var entry struct{ Level, Msg, Err string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "ERROR" {
			refused = strings.ReplaceAll(entry.Msg+": "+entry.Err, logDir(e), "")
		}
	}
	if refused == "" {
		t.Errorf("%s: the server did not start and did not say why", i)
		refused = "?"
	}
	return s.stop(), refused
}

// The same where there is no log yet: whatever a failed start leaves behind, the next
// one is none the worse.
func TestFailingFirstStart(t *testing.T) {
	needStrace(t)
	began := time.Now()
	refused, injected := map[string]string{}, 0
	e := hftest.Start(t, hftest.Options{Config: busyDisk})
	for _, kind := range kindsOfFile {
		for _, c := range writing {
			if !Soak() && c.err == "ENOSPC" || raceEnabled && c.calls != "pwrite64,write" {
				continue
			}
			e.Kill()
			if err := os.RemoveAll(e.DataDir()); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(logDir(e), 0o700); err != nil {
				t.Fatal(err)
			}
			i := injection{Files: []string{kind}, Calls: c.calls, Error: c.err}
			n, why := failingStart(t, e, i)
			injected += n
			if why != "" {
				refused[i.String()] = why
			}
			e.Run()
			r := e.Call(http.MethodPost, "/events", nil, map[string]any{"name": "n", "channel": "a", "data": "", "durable": true, "info": "position"})
			if r.Status != http.StatusOK || !strings.Contains(r.Body, `"seq":1`) {
				t.Errorf("after %s: %d %s", i, r.Status, r.Body)
			}
		}
	}
	Report(t, "strace-first-start", began, 0, map[string]any{"injected": injected, "starts_refused": refused})
}
