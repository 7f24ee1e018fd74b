package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buffer is an output that a test may read while the command writes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// has waits until the output contains text.
func (b *buffer) has(t *testing.T, text string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(b.String(), text) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in:\n%s", text, b.String())
		}
		time.Sleep(time.Millisecond)
	}
}

// shell is a process for a test, in a directory of its own.
type shell struct {
	process
	stdout, stderr buffer
	signals        chan os.Signal
}

func newShell(t *testing.T) *shell {
	t.Chdir(t.TempDir())
	s := &shell{signals: make(chan os.Signal, 4)}
	s.process = process{
		in:      strings.NewReader(""),
		out:     &s.stdout,
		err:     &s.stderr,
		now:     time.Now,
		signals: func() (<-chan os.Signal, func()) { return s.signals, func() {} },
		newRuntime: func(runtimeDeps) (Runtime, error) {
			return nil, errors.New("this test has no server")
		},
	}
	return s
}

func (s *shell) run(args ...string) int { return dispatch(args, &s.process) }

func TestCommandLine(t *testing.T) {
	const file = "[limits]\nfragments = 9\n"
	const badFile = "[limits]\nfragments = 0\nhead_count = 1\n"
	cases := []struct {
		name   string
		file   string // holdfast.toml
		env    []string
		args   []string
		code   int
		stdout string // part of it
		stderr string // part of it
	}{
		{"help", "", nil, []string{"--help"}, 0, "Usage: holdfast <command>", ""},
		{"help of a command", "", nil, []string{"serve", "--help"}, 0, "--set=section.key=value", ""},
		{"nothing", "", nil, nil, 2, "", `holdfast: expected one of "serve"`},
		{"unknown command", "", nil, []string{"drain"}, 2, "", "holdfast: unexpected argument drain\nSee: holdfast --help"},
		{"unknown flag", "", nil, []string{"serve", "--listten=x"}, 2, "", "holdfast: unknown flag --listten, did you mean \"--listen\"?\nSee: holdfast serve --help"},
		{"version", "", nil, []string{"version"}, 0, "holdfast devel (revision ", ""},
		{"valid", "", nil, []string{"check-config"}, 0, "The configuration is valid.\n", "warning: pages of every origin may connect, app \"app-id\": apps.allowed_origins\n"},
		{"a pair that does not fit", "", nil, []string{"check-config", "--set", "limits.queue_bytes=8KiB"}, 0, "", "warning: one event of the largest size overflows the queue of a slow connection (10KiB, limit 8KiB): limits.queue_bytes\n"},
		{"one fault", "", []string{"HOLDFAST_SERVER_LOOPS=x"}, []string{"check-config"}, 2, "", "holdfast: the configuration has a fault:\nenv HOLDFAST_SERVER_LOOPS: server.loops = \"x\" is not a whole number\n"},
		{"faults of the file that is there", badFile, nil, []string{"config"}, 2, "", "holdfast: the configuration has 2 faults:\nholdfast.toml:2: limits.fragments = 0 is out of bounds; use 1 to 4096\nholdfast.toml:3: "},
		{"serve with a fault", badFile, nil, []string{"serve"}, 2, "", "holdfast: the configuration has 2 faults:"},
		{"a file that is not there", "", nil, []string{"serve", "--config", "other.toml"}, 2, "", "flag --config: open other.toml: no such file or directory"},
		{"the file that is there", file, nil, []string{"config"}, 0, "fragments = 9                                # file holdfast.toml:2\n", ""},
		{"lists in --set", "", nil, []string{"config", "--set", "admin.hosts=a,b", "--set=limits.fragments=3"}, 0, `hosts = ["a", "b"]                           # flag --set` + "\n", ""},
		{"every named flag", "", nil, []string{"config", "--listen=127.0.0.1:1", "--admin-listen=", "--data-dir=d", "--app-id=i", "--app-key=k", "--app-secret=s", "--loops=2"}, 0, "loops = 2                                    # flag --loops\n", ""},
		{"redis", "", nil, []string{"check-config", "--redis", "redis://h1,h2"}, 2, "", `flag --redis: redis.url: several hosts need redis+sentinel:// or redis+cluster://; it looks like`},
		{"echo path is hidden and known", "", nil, []string{"check-config", "--echo-path", "/echo"}, 0, "valid", ""},
		{"dev", "", nil, []string{"check-config", "--listen=0.0.0.0:80", "--dev"}, 0, "valid", "warning: demo credentials on a public address: anyone may publish"},
		{"server that cannot be built", "", nil, []string{"serve"}, 1, "", `"err":"this test has no server"`},
		{"doctor with a bad number", "", nil, []string{"doctor", "--connections=many"}, 2, "", "holdfast: --connections: expected a valid 64 bit int"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := newShell(t)
			s.env = tc.env
			if tc.file != "" {
				if err := os.WriteFile("holdfast.toml", []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			code := s.run(tc.args...)
			if code != tc.code || !strings.Contains(s.stdout.String(), tc.stdout) || !strings.Contains(s.stderr.String(), tc.stderr) {
				t.Errorf("code %d, want %d\nstdout: %s\nstderr: %s", code, tc.code, s.stdout.String(), s.stderr.String())
			}
		})
	}
}

// TestDoctor: the command hands its flags on; what it finds depends on the host.
func TestDoctor(t *testing.T) {
	s := newShell(t)
	sysctl := filepath.Join(t.TempDir(), "90-test.conf")
	code := s.run("doctor", "--connections=1000", "--json", "--write-sysctl="+sysctl)
	if code < 0 || code > 2 || !strings.Contains(s.stdout.String(), `"connections": 1000`) || !strings.Contains(s.stdout.String(), sysctl) {
		t.Errorf("code %d: %s", code, s.stdout.String())
	}
}
