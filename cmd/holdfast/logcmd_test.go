package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
	"github.com/holdfast-edge/holdfast/persist"
	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/tuning"
)

// stored is an event whose bytes are known beforehand.
type stored struct {
	text string
	done chan persist.Result
}

func (s stored) AppendPayload(dst []byte, _ string, seq uint64) []byte {
	return fmt.Appendf(dst, s.text, seq)
}
func (s stored) Done(r persist.Result) { s.done <- r }

func TestLogCommand(t *testing.T) {
	s := newShell(t)
	c := config.Default()
	c.Server.DataDir = "data"
	if err := os.Mkdir("data", 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := openLog(c, tuning.NewSpare(tuning.Cores()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e := stored{`{"n":%d}`, make(chan persist.Result, 1)}
	err = log.Append([]persist.Append{{
		Key: router.LogKey("app-id", "news"), Rule: persist.Rule{Events: 10, Age: time.Minute, Bytes: 1 << 20}, Durable: true, Item: e,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if r := <-e.done; r.Err != nil || r.Seq != 1 {
		t.Fatalf("%+v", r)
	}

	t.Log("while a server has it, nobody looks")
	if code := s.run("log", "check", "data"); code != exitFailure || !strings.Contains(s.stderr.String(), "is in use: stop the server first") {
		t.Errorf("%d, %s", code, s.stderr.String())
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}

	for _, dir := range []string{"data", "data/log"} {
		s.stdout.Reset()
		if code := s.run("log", "check", dir); code != exitOK || !strings.HasSuffix(s.stdout.String(), "No damage.\n") {
			t.Errorf("%d, %s", code, s.stdout.String())
		}
	}
	s.stdout.Reset()
	if code := s.run("log", "show", "data", "news"); code != exitOK || !strings.Contains(s.stdout.String(), `{"n":1}`) {
		t.Errorf("%d, %s", code, s.stdout.String())
	}

	t.Log("damage is told, in words and in JSON")
	segments, err := filepath.Glob("data/log/segments/seg-*.db")
	if err != nil || len(segments) == 0 {
		t.Fatalf("%v, %v", segments, err)
	}
	if err := os.WriteFile(segments[0], make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	s.stdout.Reset()
	if code := s.run("log", "check", "data"); code != exitFailure || !strings.Contains(s.stdout.String(), "1 damaged files.") {
		t.Errorf("%d, %s", code, s.stdout.String())
	}
	s.stdout.Reset()
	if code := s.run("log", "check", "--json", "data"); code != exitFailure || !strings.Contains(s.stdout.String(), `"damaged": 1`) {
		t.Errorf("%d, %s", code, s.stdout.String())
	}

	t.Log("what is no log is no log")
	for _, dir := range []string{".", "nowhere"} {
		if code := s.run("log", "show", dir); code != exitFailure {
			t.Errorf("%s: %d", dir, code)
		}
	}
}
