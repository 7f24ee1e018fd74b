package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestReplaceKeepsAWholeFile: whatever call fails, the file is the old or the new one.
func TestReplaceKeepsAWholeFile(t *testing.T) {
	fault := errors.New("fault")
	for name, broken := range map[string]func(*FS){
		"create": func(fs *FS) { fs.Create = func(string) (File, error) { return nil, fault } },
		"rename": func(fs *FS) { fs.Rename = func(string, string) error { return fault } },
		"sync":   func(fs *FS) { fs.SyncDir = func(string) error { return fault } },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "meta")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			fs := OS()
			broken(&fs)
			if _, err := fs.Replace(dir, "meta", []byte("new")); !errors.Is(err, fault) {
				t.Fatalf("replace: %v", err)
			}
			b, err := os.ReadFile(path)
			if err != nil || string(b) != "old" && string(b) != "new" {
				t.Errorf("%q, %v", b, err)
			}
			if _, err := fs.WriteNew(dir, "part", []byte("new")); !errors.Is(err, fault) {
				t.Fatalf("new: %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "part")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a new file whose making failed is there: %v", err)
			}
		})
	}
}
