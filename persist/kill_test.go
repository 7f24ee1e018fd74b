package persist

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// roomy keeps everything that a kill test publishes.
var roomy = Rule{Events: 1_000_000, Age: time.Hour, Bytes: 1 << 30, Replay: true}

const childVariable = "HOLDFAST_PERSIST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

// child publishes until it is killed, and writes a line for each event that was
// handed out: key, epoch, start, seq, durable, payload.
func child(dir string) {
	c := Default()
	c.Dir, c.Now = dir, time.Now
	c.JournalBytes, c.CheckpointInterval = 1<<20, 50*time.Millisecond
	l, err := Open(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	run := os.Getpid()
	var out sync.Mutex
	for g := range 8 {
		go func() {
			for i := 0; ; i++ {
				a := Append{Key: fmt.Sprintf("ch-%d", (g+i)%16), Rule: roomy}
				a.Rule.Durable = (g+i)%16 < 4
				a.Durable = g == 0
				done := make(chan Result, 1)
				a.Item = &text{body: fmt.Sprintf("%d-%d-%d", run, g, i), done: func(r Result) {
					// One write, on the sequencer: the lines of a channel are in its order.
					out.Lock()
					fmt.Printf("%s %s %d %d %v %s\n", a.Key, r.Epoch, r.Start, r.Seq, a.asksDurable(), r.Payload)
					out.Unlock()
					done <- r
				}}
				if l.Append([]Append{a}) == nil {
					<-done
				}
				if g > 1 {
					time.Sleep(100 * time.Microsecond) // durable events are the rarer ones otherwise
				}
			}
		}()
	}
	select {}
}

func TestKilledProcessLosesNothingItHandedOut(t *testing.T) {
	dir := quickDir(t)
	m := newModel(t)
	m.rule = roomy
	m.known = func(_, body string) bool { return strings.Count(body, "-") == 2 }
	slowest := time.Duration(0)
	epochs := map[string]string{}
	for range sized(20, 200) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		cmd.Stderr = os.Stderr
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(pipe)
		if !lines.Scan() || lines.Text() != "ready" {
			cmd.Wait()
			t.Fatalf("the child says %q", lines.Text())
		}
		timer := time.AfterFunc(time.Duration(1+rand.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
		for lines.Scan() {
			var key, payload string
			var g given
			if n, _ := fmt.Sscanf(lines.Text(), "%s %s %d %d %t %s", &key, &g.epoch, &g.start, &g.seq, &g.durable, &payload); n != 6 || !strings.Contains(payload, "#") {
				continue // cut by the kill
			}
			g.payload = payload
			g.body, _, _ = strings.Cut(payload, "#")
			if m.submitted[key] == nil {
				m.submitted[key] = map[string]bool{}
			}
			m.given[key] = append(m.given[key], g)
		}
		timer.Stop()
		cmd.Wait()

		began := time.Now()
		c := Default()
		c.Dir, c.Now = dir, time.Now
		l, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
		b := &bench{t: t, dir: dir, cfg: c, log: l}
		m.check(b, "killed")
		m.wantAllKept(b, "killed")
		for key := range m.given {
			p := b.position(key)
			if was, ok := epochs[key]; ok && was != p.Epoch {
				t.Fatalf("%q: the epoch changed from %s to %s", key, was, p.Epoch)
			}
			epochs[key] = p.Epoch
		}
		// The next child begins after a kill as often as after a proper end.
		if rand.IntN(2) == 0 {
			b.close()
		} else {
			b.crashInPlace()
		}
	}
	t.Logf("slowest start: %v", slowest)
	if slowest > 2*time.Second {
		t.Errorf("a start took %v", slowest)
	}
}

// crashInPlace replaces the directory by what a kill leaves of it now.
func (b *bench) crashInPlace() {
	b.t.Helper()
	copied := b.snapshot()
	b.log.Close()
	if err := os.RemoveAll(b.dir); err != nil {
		b.t.Fatal(err)
	}
	if err := os.CopyFS(b.dir, os.DirFS(copied)); err != nil {
		b.t.Fatal(err)
	}
	os.RemoveAll(copied)
}
