package oracle

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// injection makes system calls on some files fail.
type injection struct {
	Files []string // kinds of file, see filesOf
	Calls string   // system calls, joined by commas
	Error string   // errno
	// When says which of the calls fail, as strace does; "" = all.
	When string
	// Also is another injection expression, for what must fail once before Calls are made.
	Also string
}

func (i injection) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s %s %s %s", strings.Join(i.Files, "+"), i.Calls, i.Error, i.When), " ")
}

// kindsOfFile are those of a data directory. ahead is how many of the files that are
// yet to be made are named in advance.
var kindsOfFile = []string{"journal", "heads", "segments", "directories", "meta", "behind"}

const ahead = 60

// filesOf names all files of a kind that there are, or will be soon.
func filesOf(t testing.TB, dir, kind string) (paths []string) {
	t.Helper()
	highest := map[string]uint64{}
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			dirs = append(dirs, path)
			return nil
		}
		prefix, number, _ := strings.Cut(strings.TrimSuffix(d.Name(), ".db"), "-0")
		var n uint64
		if _, err := fmt.Sscanf("0"+number, "%x", &n); err == nil {
			highest[prefix] = max(highest[prefix], n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	numbered := func(format, aside string, from uint64) {
		for n := uint64(1); n <= from+ahead; n++ {
			if path := filepath.Join(dir, fmt.Sprintf(format, n)); n+ahead > from || exists(path) {
				paths = append(paths, path, path+aside)
			}
		}
	}
	switch kind {
	case "journal":
		numbered("journal/journal-%016x", ".tmp", highest["journal"])
	case "segments":
		newest := uint64(0)
		for prefix, n := range highest {
			if strings.HasPrefix(prefix, "seg-") {
				newest = max(newest, n)
			}
		}
		numbered("segments/seg-1-%016x.db", ".new", newest) // the class of Keep
	case "heads":
		paths = append(paths, filepath.Join(dir, "segments/heads.db"), filepath.Join(dir, "segments/heads.db.new"))
	case "directories":
		paths = dirs
	default:
		paths = append(paths, filepath.Join(dir, kind), filepath.Join(dir, kind+".tmp"))
	}
	return paths
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tracer is strace at work on a server.
type tracer struct {
	t    testing.TB
	cmd  *exec.Cmd // nil when the server was started by it
	file string    // what it writes
}

// needStrace ends a test that cannot do without.
func needStrace(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing, with which single system calls are made to fail. Run: apt-get install strace")
	}
}

func (i injection) args(t testing.TB, e *hftest.Edge, file string) []string {
	args := []string{
		"strace", "-f", "-o", file, "-e", "signal=none", "-e", "trace=" + i.Calls,
		"-e", "inject=" + i.Calls + ":error=" + i.Error + i.When,
	}
	if i.Also != "" {
		call, _, _ := strings.Cut(i.Also, ":")
		args[7] += "," + call
		args = append(args, "-e", "inject="+i.Also)
	}
	for _, kind := range i.Files {
		for _, path := range filesOf(t, logDir(e), kind) {
			args = append(args, "-P", path)
		}
	}
	return args
}

// inject makes calls of the running server fail until stop.
func inject(t testing.TB, e *hftest.Edge, i injection) *tracer {
	t.Helper()
	s := &tracer{t: t, file: filepath.Join(t.TempDir(), "strace")}
	args := append(i.args(t, e, s.file), "-p", fmt.Sprint(e.PID()))
	s.cmd = exec.Command(args[0], args[1:]...)
	var said bytes.Buffer
	s.cmd.Stderr = &said
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { return traced(e.PID()) }) {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		t.Fatalf("strace does not attach to the server: it needs CAP_SYS_PTRACE\n%s", said.String())
	}
	return s
}

// traced tells whether every thread of the process has a tracer.
func traced(pid int) bool {
	statuses, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	return err == nil && len(statuses) > 0 && !slices.ContainsFunc(statuses, func(path string) bool {
		b, err := os.ReadFile(path)
		return err == nil && bytes.Contains(b, []byte("TracerPid:\t0\n"))
	})
}

// stop lets the server go on by itself, and returns how many calls were made to fail.
func (s *tracer) stop() (injected int) {
	s.t.Helper()
	if s.cmd != nil {
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			s.t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			_ = s.cmd.Wait() // it ends by the signal
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(hftest.Patience):
			_ = s.cmd.Process.Kill()
			s.t.Fatal("strace does not end")
		}
	}
	return s.injected()
}

// injected is how many calls were made to fail so far.
func (s *tracer) injected() int {
	s.t.Helper()
	b, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	return bytes.Count(b, []byte("(INJECTED)"))
}
