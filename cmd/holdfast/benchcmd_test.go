package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/bench"
)

// What cannot be run is refused with exit code 2 and what to do.
func TestBenchRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"TLS":           {[]string{"connect", "--url=wss://example.org"}, "holdfast bench connect: --url wss://example.org: TLS is not offered"},
		"no URL":        {[]string{"storm", "--url=127.0.0.1:1"}, "is not a URL such as ws://127.0.0.1:8080"},
		"none":          {[]string{"connect", "-n", "0"}, "--connections 0: use 1 to"},
		"descriptors":   {[]string{"connect", "-n", "30000000"}, "raise the limit (ulimit -n, LimitNOFILE=)"},
		"ports":         {[]string{"connect", "-n", "100000", "--source-addresses=none", "--processes=64"}, "widen it (sysctl -w net.ipv4.ip_local_port_range"},
		"too small":     {[]string{"fanout", "--size=10"}, "--size 10: use 44 to"},
		"a bad share":   {[]string{"mixed", "--idle-share=95"}, "--churn-share 10: use 0 to 5"},
		"unknown flag":  {[]string{"connect", "--rounds=3"}, "unknown flag --rounds"},
		"no scenario":   {nil, `expected one of "connect"`},
		"no such thing": {[]string{"flood"}, "unexpected argument flood"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			if code := s.run(append([]string{"bench"}, c.args...)...); code != exitUsage || !strings.Contains(s.stderr.String(), c.says) {
				t.Errorf("exit code %d: %s", code, s.stderr.String())
			}
		})
	}
}

// The flags stand where the package's defaults are.
func TestBenchDefaults(t *testing.T) {
	for _, name := range []string{"HOLDFAST_APPS_ID", "HOLDFAST_APPS_KEY", "HOLDFAST_APPS_SECRET", "REVERB_APP_ID", "REVERB_APP_KEY", "REVERB_APP_SECRET"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	for _, kind := range []string{bench.Connect, bench.Fanout, bench.Storm, bench.Mixed} {
		var line commandLine
		parser, err := kong.New(&line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"bench", kind}); err != nil {
			t.Fatal(err)
		}
		got := map[string]bench.Params{
			bench.Connect: line.Bench.Connect.params(), bench.Fanout: line.Bench.Fanout.params(),
			bench.Storm: line.Bench.Storm.params(), bench.Mixed: line.Bench.Mixed.params(),
		}[kind]
		if want := bench.Default(kind); got != want {
			t.Errorf("%s: %+v, want %+v", kind, got, want)
		}
	}
}

// Nothing listens: the reasons are told, and nothing is published to nobody.
func TestBenchWithoutServer(t *testing.T) {
	for _, args := range [][]string{{"connect", "--hold=1h"}, {"fanout", "--duration=1h", "--rate=1"}, {"mixed", "--duration=1h"}} {
		s := newShell(t)
		code := s.run(append([]string{"bench", args[0], "--url=ws://127.0.0.1:1", "-n", "2", "--json=-"}, args[1:]...)...)
		if out := s.stdout.String(); code == exitOK || !strings.Contains(out, `"connect: ECONNREFUSED": 2`) || !strings.Contains(out, `"exit_code": 1`) {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
}

// With a status file the program stays until it is killed, also when it was refused.
func TestBenchStatusFile(t *testing.T) {
	s := newShell(t)
	ended := make(chan int, 1)
	go func() { ended <- s.run("bench", "connect", "--url=wss://h", "--status-file=status") }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile("status"); err == nil {
			if string(text) != "2\n" {
				t.Errorf("status %q", text)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no status file")
		}
	}
	select {
	case code := <-ended:
		t.Fatalf("ended with %d before it was killed", code)
	default:
	}
	s.signals <- os.Interrupt
	select {
	case code := <-ended:
		if code != exitUsage {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end when it is told to")
	}
}
