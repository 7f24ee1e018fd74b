package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzFile: no document panics, and each fault that names a line names one
// that the document has.
func FuzzFile(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.toml")
	for _, name := range append(files, shippedFile) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("apps = [{id = 'a'}, {id = 'b', x.y = 1}]\n[apps2]\n[[a.b]]\n[a.b.c]\nd = []"))
	f.Fuzz(func(t *testing.T, data []byte) {
		leaves, tables, err := parseFile(data)
		if err != nil {
			return
		}
		last := strings.Count(string(data), "\n") + 1
		g := newGathering()
		g.file, g.tables = "f", tables
		for _, l := range leaves {
			if l.line < 1 || l.line > last {
				t.Fatalf("%s at line %d of %d", l.path, l.line, last)
			}
			g.fileLeaf("f", l)
		}
		g.build()
	})
}

// FuzzSize: what parses prints as the same number of bytes.
func FuzzSize(f *testing.F) {
	for _, s := range []string{"0B", "64KiB", "10KiB", "16TiB", "1", "-1B", "9223372036854775807B", "8388608TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseSize(text)
		if err != nil {
			return
		}
		if again, err := parseSize(sizeText(n)); err != nil || again != n {
			t.Fatalf("%q is %d, printed %q, is %d: %v", text, n, sizeText(n), again, err)
		}
	})
}
