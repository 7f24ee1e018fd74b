package persist

import (
	"os"
	"path/filepath"
)

// IsLog tells whether a directory holds a log, or began to.
func IsLog(dir string) bool {
	for _, name := range []string{metaFile, segmentsDir} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}
