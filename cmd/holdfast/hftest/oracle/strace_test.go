package oracle

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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

// A server whose calls on the files of its log fail goes on delivering, says of
// durable events what is true, and loses nothing silently, then or after a restart.
func TestFailingCalls(t *testing.T) {
	needStrace(t)
	for _, kind := range kindsOfFile[:4] {
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
	var slowest time.Duration // to be well again
	for round := range sized(1, 8) {
		for _, c := range writing {
			i := injection{Files: kind, Calls: c.calls, Error: c.err}
			if round > 0 {
				i.When = fmt.Sprintf(":when=%d+%d", 1+w.Rand.IntN(5), 1+w.Rand.IntN(4)) // now and then
			}
			if c.calls == "mmap" && kind == "segments" {
				i.Also = "fdatasync:error=EIO:when=1..2" // so that a new one is begun
			}
			s := inject(t, w.Edge, i)
			time.Sleep(200 * time.Millisecond)
			restless.Leave()
			time.Sleep(100 * time.Millisecond)
			restless.Return()
			time.Sleep(100 * time.Millisecond)
			injected[i.Calls+" "+i.Error] += s.stop()
			slowest = max(slowest, w.well(i))
		}
		if round%2 == 0 {
			w.Edge.Kill()
		} else if code := w.Edge.Stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		w.Start()
	}
	v := w.Settle(Policy{Gaps: []string{"unavailable", "epoch"}, Turns: true})
	w.Edge.Kill()
	checkDir(t, w.Edge)
	figures := w.Figures(v)
	figures["injected"] = injected
	figures["well_again_ms_max"] = slowest.Milliseconds()
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
			i := injection{Files: kind, Calls: c.calls, Error: c.err}
			time.Sleep(20 * time.Millisecond)
			w.Edge.Kill()
			s := &tracer{t: t, file: filepath.Join(t.TempDir(), "strace")}
			if err := w.Edge.TryRun(append(i.args(t, w.Edge, s.file), "-D")...); err != nil {
				refused[i.String()] = err.Error()
			} else {
				time.Sleep(50 * time.Millisecond)
				w.Edge.Kill()
			}
			if _, err := os.Stat(s.file); err == nil {
				injected += s.stop()
			}
			w.Start()
		}
	}
	v := w.Settle(Policy{Gaps: []string{"unavailable", "epoch"}, Turns: true})
	figures := w.Figures(v)
	figures["injected"], figures["starts_refused"] = injected, refused
	Report(t, "strace-start", began, w.Seed, figures)
}
