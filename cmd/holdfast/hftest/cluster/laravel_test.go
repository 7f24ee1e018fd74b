package cluster

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// page is Echo in Node on one of the nodes.
type page struct {
	t     *testing.T
	name  string
	lines chan string
}

// heard is a line of a page's.
type heard struct {
	What string          `json:"what"`
	Data json.RawMessage `json:"data"`
}

func open(t *testing.T, e *hftest.Edge, auth, user string) *page {
	t.Helper()
	_, port, _ := net.SplitHostPort(e.Addr)
	cmd := exec.Command("node", "harness/listen.mjs")
	cmd.Dir = "../js"
	cmd.Env = append(os.Environ(), "PORT="+port, "AUTH="+auth, "USER="+user)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &page{t: t, name: user, lines: make(chan string, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
	}()
	t.Cleanup(func() {
		in.Close()
		<-done
		_ = cmd.Wait()
	})
	return p
}

// next is the next line of a kind; what is of another kind is passed over.
func (p *page) next(what string) string {
	p.t.Helper()
	timeout := time.After(hftest.Patience)
	for {
		select {
		case line, ok := <-p.lines:
			var h heard
			if !ok || json.Unmarshal([]byte(line), &h) != nil || h.What == "refused" {
				p.t.Fatalf("page of %s, waiting for %q: %q", p.name, what, line)
			}
			if h.What == what {
				return string(h.Data)
			}
		case <-timeout:
			p.t.Fatalf("page of %s: nothing of the kind %q came", p.name, what)
		}
	}
}

// application is a real Laravel in a folder of its own.
type application struct {
	t   *testing.T
	dir string
	env []string
}

func newApplication(t *testing.T, redis *redistest.Server) *application {
	t.Helper()
	if _, err := os.Stat("/usr/share/php/Illuminate/autoload.php"); err != nil {
		t.Fatalf("this test needs a real Laravel (make deps): %v", err)
	}
	a := &application{t: t, dir: t.TempDir()}
	if err := os.CopyFS(a.dir, os.DirFS("laravel")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bootstrap/cache", "storage/framework/views", "storage/logs"} {
		if err := os.MkdirAll(filepath.Join(a.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a.env = append(os.Environ(), fmt.Sprint("REDIS_PORT=", redis.Port), "HOLDFAST_KEY="+hftest.AppKey, "HOLDFAST_SECRET="+hftest.AppSecret)
	return a
}

// broadcast runs broadcast(new OrderShipped(…)) for each number.
func (a *application) broadcast(from, to int) {
	a.t.Helper()
	cmd := exec.Command("php", "broadcast.php", fmt.Sprint(from), fmt.Sprint(to))
	cmd.Dir, cmd.Env = a.dir, a.env
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("broadcast.php: %v\n%s", err, out)
	}
}

// serve starts PHP's web server and returns the endpoint that signs.
func (a *application) serve() string {
	a.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command("php", "-S", addr, "-t", "public", "public/index.php")
	cmd.Dir, cmd.Env = a.dir, a.env
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(a.t, "PHP listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return "http://" + addr + "/broadcasting/auth"
}

// TestLaravel: a real Laravel broadcasts through its redis driver, and signs through a
// broadcaster of its own; Echo hears it on two nodes, each event once and in order. Then
// the node that reads the application's Redis is killed, and the other one goes on.
func TestLaravel(t *testing.T) {
	t.Parallel()
	broker, appRedis := redistest.Start(t), redistest.Start(t)
	app := newApplication(t, appRedis)
	auth := app.serve()
	edges := nodes(t, broker, 2, "--set", "ingest.redis.url="+appRedis.URL())
	reads := func(e *hftest.Edge) bool { return strings.Contains(e.Metrics(), "\nholdfast_ingest_reader 1\n") }
	eventually(t, "one node reads", func() bool { return reads(edges[0]) != reads(edges[1]) })

	seven, eight := open(t, edges[0], auth, "7"), open(t, edges[1], auth, "8")
	seven.next("ready")
	eight.next("ready")
	const events = 10
	app.broadcast(1, events)
	for n := 1; n <= events; n++ {
		want := fmt.Sprintf(`{"id":%d,"note":"déjà / \"%d\"","socket":null}`, n, n)
		for _, p := range []*page{seven, eight} {
			if n == 7 && p == seven || n == 8 && p == eight {
				if got := p.next("private"); got != want {
					t.Errorf("page of %s, private: %s, want %s", p.name, got, want)
				}
			}
			if got := p.next("presence"); got != want {
				t.Errorf("page of %s, presence: %s, want %s", p.name, got, want)
			}
		}
	}

	reader := 0
	if reads(edges[1]) {
		reader = 1
	}
	left := []*page{eight, seven}[reader]
	edges[reader].Kill()
	eventually(t, "the other node reads", func() bool { return reads(edges[1-reader]) })
	app.broadcast(101, 102)
	for n := 101; n <= 102; n++ {
		want := fmt.Sprintf(`{"id":%d,"note":"déjà / \"%d\"","socket":null}`, n, n)
		if got := left.next("presence"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
