package oracle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// A disk that is full for a while costs nobody a live event: durable ones are refused
// and say so, and when there is room again the log is as before, but for the epochs
// of channels with events that it could not keep.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t)
	w := NewWorld(t, hftest.Options{Config: busyDisk, DataDir: filepath.Join(dir, "data")}, 600)
	began := time.Now()
	channels := []string{"plain-1", "plain-2", "durable-1", "durable-2"}
	for i := range 3 {
		w.Listen(Listener{Name: fmt.Sprint("steady ", i), Channels: channels})
	}
	restless := w.Listen(Listener{Name: "restless", Channels: channels})
	w.Publish(Source{Channel: "quiet", Pause: time.Millisecond}) // nothing is published to it while the disk is full
	w.Await("events on every channel", func() bool { return w.Ledger.Last("quiet") > 5 })
	w.publishers[0].stop()
	w.work.Wait()
	quiet := w.Position("quiet")
	for _, channel := range channels {
		w.Publish(Source{Channel: channel, Durable: channel[0] == 'd', Pause: 10 * time.Millisecond, Batch: 3})
	}
	rounds := sized(1, 1, 2)
	var recovered []int64
	var refusedFor []string
	for range rounds {
		time.Sleep(500 * time.Millisecond)
		f := fill(t, dir)
		time.Sleep(sized(time.Second, 5*time.Second, 30*time.Second) / 2)
		restless.Leave()
		time.Sleep(sized(time.Second, 5*time.Second, 30*time.Second) / 2)
		restless.Return()
		refusedFor = append(refusedFor, fmt.Sprintf("degraded %v, unlogged %v", w.Metric("holdfast_store_degraded"), w.Metric("holdfast_store_unlogged_messages_total")))
		f.release()
		recovered = append(recovered, w.well(injection{Files: []string{"a full disk"}}).Milliseconds())
	}
	if refused := w.answers("503 log_unavailable"); refused == 0 {
		t.Error("no durable event was refused: the disk was not full")
	}
	if now := w.Position("quiet"); now != quiet {
		t.Errorf("a channel without events while the disk was full stands at %s, before at %s", now, quiet)
	}
	slowest := w.Slowest(func(s Source) bool { return !s.Durable })
	if slowest > 2*time.Second {
		t.Errorf("a plain publish took %s: it waited for the disk", slowest)
	}
	time.Sleep(200 * time.Millisecond)
	w.SameEpochs()
	w.Edge.Kill()
	w.Start()
	if changed := w.SameEpochs(); len(changed) > 0 {
		t.Errorf("epochs changed in a restart after the disk had room again: %v", changed)
	}
	v := w.Settle(failing)
	if v.Gaps["turn"] == 0 {
		t.Error("no epoch changed, though events were handed out that are not in the log")
	}
	w.Edge.Kill()
	checkDir(t, w.Edge)
	figures := w.Figures(v)
	figures["well_again_ms"], figures["plain_answer_ms_max"], figures["full"] = recovered, slowest.Milliseconds(), refusedFor
	Report(t, "full-disk", began, w.Seed, figures)
}

// A server that is killed and started while its disk is full serves, and loses
// nothing silently.
func TestStartOnFullDisk(t *testing.T) {
	dir := smallDisk(t)
	w := NewWorld(t, hftest.Options{Config: busyDisk, DataDir: filepath.Join(dir, "data")}, 600)
	began := time.Now()
	channels := []string{"plain-1", "durable-1"}
	w.Listen(Listener{Name: "steady", Channels: channels})
	for _, channel := range channels {
		w.Publish(Source{Channel: channel, Durable: channel[0] == 'd', Pause: 10 * time.Millisecond, Batch: 3})
	}
	time.Sleep(300 * time.Millisecond)
	f := fill(t, dir)
	w.Await("a refused event", func() bool { return w.answers("503 log_unavailable") > 0 })
	w.Edge.Kill()
	err := w.Edge.TryRun()
	if err != nil {
		t.Errorf("a full disk keeps the server from starting: %v", err)
		f.release()
		w.Edge.Run()
	} else {
		time.Sleep(300 * time.Millisecond)
		f.release()
	}
	w.well(injection{Files: []string{"a start on a full disk"}})
	v := w.Settle(failing)
	figures := w.Figures(v)
	figures["started"] = err == nil
	Report(t, "full-disk-start", began, w.Seed, figures)
}

// smallDisk is a file system of its own, which is soon full.
func smallDisk(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m,mode=0700"); err != nil {
		t.Fatalf("a small file system cannot be mounted: %v. The test needs root, or CAP_SYS_ADMIN in a mount namespace", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// filler is a file that takes all the room that there is, again and again.
type filler struct {
	path string
	done chan struct{}
	work sync.WaitGroup
}

func fill(t *testing.T, dir string) *filler {
	t.Helper()
	f := &filler{path: filepath.Join(dir, "filler"), done: make(chan struct{})}
	file, err := os.Create(f.path)
	if err != nil {
		t.Fatal(err)
	}
	grow := func() error {
		for block := make([]byte, 64<<10); len(block) > 0; {
			if _, err := file.Write(block); err != nil {
				if !errors.Is(err, syscall.ENOSPC) {
					return err
				}
				block = block[:len(block)/2]
			}
		}
		return nil
	}
	if err := grow(); err != nil {
		t.Fatal(err)
	}
	f.work.Go(func() {
		defer file.Close()
		for {
			select {
			case <-f.done:
				return
			case <-time.After(2 * time.Millisecond):
			}
			if err := grow(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	return f
}

// release gives all of it back.
func (f *filler) release() {
	close(f.done)
	f.work.Wait()
	_ = os.Remove(f.path)
}
