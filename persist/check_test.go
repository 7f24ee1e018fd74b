package persist

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckAndShowAStoppedLog(t *testing.T) {
	b := newBench(t)
	b.cfg.BootID = ""
	b.publish("app/a", `{"n":1}`)
	b.start(Append{Key: "app/b", Rule: standard, Origin: "1.2"}, `frame{"n":2}`)()

	t.Log("not while it is open")
	if _, err := Check(b.dir); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
	if err := Show(b.dir, &bytes.Buffer{}); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}

	t.Log("killed: the journal has it")
	killed := b.snapshot()
	r, err := Check(killed)
	if err != nil || r.Damaged() != 0 || r.Clean || r.Behind || r.ID == "" {
		t.Fatalf("%+v %v", r, err)
	}
	records := uint64(0)
	for _, f := range r.Files {
		records += f.Records
	}
	if records < 2 {
		t.Fatalf("%+v", r)
	}
	show := func(dir string, keys ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := Show(dir, &out, keys...); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := show(killed, "app/b"); !strings.Contains(got, `{"n":2}#1`) || strings.Contains(got, "frame") || strings.Contains(got, "app/a") {
		t.Fatal(got)
	}

	t.Log("closed: the segments have it")
	b.close()
	r, err = Check(b.dir)
	if err != nil || r.Damaged() != 0 || !r.Clean || r.Channels != 2 {
		t.Fatalf("%+v %v", r, err)
	}
	if got := show(b.dir); !strings.Contains(got, "app/a") || !strings.Contains(got, "journal-") {
		t.Fatal(got)
	}
	if got := show(b.dir, "app/a"); !strings.Contains(got, `{"n":1}#1`) {
		t.Fatal(got)
	}

	t.Log("damage is told, file by file, and nothing is changed")
	parts, err := filepath.Glob(filepath.Join(killed, "journal", "journal-*"))
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	smash(t, parts[0], 33)
	smash(t, filepath.Join(killed, "meta"), 8)
	before, _ := os.ReadDir(filepath.Join(killed, "journal"))
	r, err = Check(killed)
	if err != nil || r.Damaged() < 1 {
		t.Fatalf("%+v %v", r, err)
	}
	after, _ := os.ReadDir(filepath.Join(killed, "journal"))
	if len(before) != len(after) {
		t.Fatal("Check changed the directory")
	}
	if _, err := Check(t.TempDir()); err == nil {
		t.Fatal("a log where there is none")
	}
}
