package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadFiles loads every testdata/*.bad.toml. A comment "# want: fault" in
// the file is a fault that must be reported for that line; there must be no
// others. A want may leave out the end of a message.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.toml")
	if err != nil || len(files) < 10 {
		t.Fatalf("only %d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.toml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{}
			for i, line := range strings.Split(string(data), "\n") {
				if _, w, ok := strings.Cut(line, "# want: "); ok {
					want[fmt.Sprintf("%s:%d: %s", file, i+1, w)] = true
				}
			}
			_, err = Load(Input{File: file, FileRequired: true})
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("no faults: %v", err)
			}
		next:
			for _, f := range faults {
				for w := range want {
					if strings.HasPrefix(f.Error(), w) {
						delete(want, w)
						continue next
					}
				}
				t.Errorf("not expected:\n  %s", f)
			}
			for w := range want {
				t.Errorf("missing:\n  %s", w)
			}
		})
	}
}
