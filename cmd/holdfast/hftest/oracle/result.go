package oracle

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Soak tells whether the tests run at full size.
func Soak() bool { return os.Getenv("HOLDFAST_SOAK") == "1" }

// sized is a size: with the race detector, every day, or in full.
func sized[T any](race, everyday, soak T) T {
	switch {
	case Soak():
		return soak
	case raceEnabled:
		return race
	}
	return everyday
}

// result is the line that a test prints.
type result struct {
	Name    string         `json:"name"`
	Size    string         `json:"size"`
	Passed  bool           `json:"passed"`
	Date    string         `json:"date"`
	Commit  string         `json:"commit"`
	Dirty   bool           `json:"dirty"` // the tree had changes that the commit does not hold
	Seed    uint64         `json:"seed"`
	Seconds float64        `json:"seconds"`
	Figures map[string]any `json:"figures"`
}

// Report prints the figures of a test that began at began, as one line of JSON, and
// writes them to HOLDFAST_RESULTS.
func Report(t testing.TB, name string, began time.Time, seed uint64, figures map[string]any) {
	t.Helper()
	r := result{
		Name: name, Size: sized("race", "ci", "soak"), Passed: !t.Failed(), Seed: seed, Figures: figures,
		Date: time.Now().UTC().Format(time.DateOnly), Seconds: float64(time.Since(began).Milliseconds()) / 1000,
	}
	r.Commit, r.Dirty = commit()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(b))
	dir := os.Getenv("HOLDFAST_RESULTS")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s-%.12s.json", name, r.Date, r.Commit))
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// commit names the working tree, and says whether it has changes that no commit holds.
func commit() (id string, dirty bool) {
	b, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		return "unknown", true
	}
	changes, err := exec.Command("git", "status", "--porcelain").Output()
	return strings.TrimSpace(string(b)), err != nil || len(changes) > 0
}
