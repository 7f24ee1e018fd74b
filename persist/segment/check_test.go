package segment

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckTellsWhatIsThere(t *testing.T) {
	d := newDesk(t)
	d.Publish("a", 0, 1, 10)
	d.Publish("b", 0, 1, 10)
	d.Publish("b", 0, 21, 30)
	d.Put(&Batch{Keys: []Key{{ID: []byte("id"), TimeMS: 1}}, Meta: map[string][]byte{"life": []byte("x")}})
	d.Crash()
	before := d.Names()
	r := d.Check()
	if r.Clean || r.Heads != 2 || r.Keys != 1 || r.Damaged() != 0 {
		t.Errorf("after a crash: %+v", r)
	}
	if f := r.Files[1]; f.Name != segmentName(0, 1) || f.Records != 30 || f.Channels != 2 || f.Holes != 10 || f.Sealed || f.FirstMS != d.clock.MS() {
		t.Errorf("segment: %+v", f)
	}

	t.Log("damage is told, and nothing is changed")
	path := filepath.Join(d.cfg.Dir, segmentName(0, 1))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(used(t, path), payloadOf("a", 7))
	if _, err := file.WriteAt([]byte("noise"), int64(at)); err != nil {
		t.Fatal(err)
	}
	file.Close()
	r, err = Check(d.cfg.Dir)
	if err != nil || r.Damaged() != 1 || !errors.Is(r.Files[1].Err, ErrDamaged) {
		t.Errorf("%+v, %v", r, err)
	}
	if err := Show(d.cfg.Dir, io.Discard); !errors.Is(err, ErrDamaged) {
		t.Errorf("Show of a damaged directory: %v", err)
	}
	if names := d.Names(); strings.Join(names, " ") != strings.Join(before, " ") {
		t.Errorf("files were %v and are %v", before, names)
	}
	if _, err := Check(filepath.Join(d.cfg.Dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Check of no directory: %v", err)
	}
}

func TestShowWritesForPeople(t *testing.T) {
	d := newDesk(t)
	d.Put(&Batch{
		Records: []Record{
			{Key: "app/news", Seq: 41, TimeMS: 1_700_000_000_123, Total: 20, Payload: []byte(`{"event":"e","seq":41}`)},
			{Key: "app/news", Seq: 42, TimeMS: 1_700_000_000_456, Total: 22, Flags: 1, Origin: []byte("8137.4592"), Payload: []byte("\x01\x02")},
		},
		Heads: []Head{
			{Key: "app/news", Epoch: "k3f9k3f9", Start: 7, Seq: 42, Total: 22, TimeMS: 1_700_000_000_456, Life: 3, Durable: true, Last: []byte("last"), LastSeq: 42, LastTimeMS: 1_700_000_000_456},
			{Key: "app/\x1b[2J", Epoch: "k3f9k3f9", TimeMS: 1_700_000_000_000},
		},
	})
	show := func(keys ...string) string {
		t.Helper()
		var out strings.Builder
		if err := Show(d.cfg.Dir, &out, keys...); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	d.Crash()
	const head = "app/news  k3f9k3f9:42  start 7  total 22  2023-11-14T22:13:20.456Z  life 3  durable  last event: seq 42, 2023-11-14T22:13:20.456Z, 4 bytes\n"
	want := head + `  41  2023-11-14T22:13:20.123Z  total 20  flags 0  class 0  origin ""  {"event":"e","seq":41}
  42  2023-11-14T22:13:20.456Z  total 22  flags 1  class 0  origin "8137.4592"  "\x01\x02"
app/none  no head
`
	if got := show("app/news", "app/none"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	all := show()
	if !strings.Contains(all, "seg-0-0000000000000001.db  class 0  2 records") || !strings.Contains(all, head) ||
		!strings.Contains(all, `"app/\x1b[2J"`) || strings.Contains(all, "\x1b") {
		t.Errorf("got:\n%s", all)
	}
	d.Open()
	d.Want("app/none", 0, 1, 1, 0)
}
