package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A repository of its own with two commits, whose holdfast says which it is, and a change that no commit holds.
func twoCommits(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", root, "-c", "user.name=test", "-c", "user.email=test@localhost"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := func(says string) {
		write("cmd/holdfast/main.go", "package main\n\nfunc main() { print(\""+says+"\") }\n")
	}
	write("go.mod", "module example.org/two\n")
	write("bench/floor/floor.c", "")
	git("init", "-q")
	program("first")
	git("add", "-A")
	git("commit", "-qm", "first")
	program("second")
	git("commit", "-qam", "second")
	program("unsaved")
	return root
}

// -against HEAD~1 measures the commit before beside the tree as it is, and leaves the tree and the repository alone.
func TestAgainstARevision(t *testing.T) {
	root := twoCommits(t)
	c := common{root: root, wait: "spin", against: "HEAD~1"}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	ts, clean, err := c.targets(io.Discard, "holdfast", before)
	if err != nil {
		t.Fatal(err)
	}
	defer clean()
	for i, want := range []string{"unsaved", "first"} {
		out, err := exec.Command(ts[i].command[0]).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s says %q, %v; want %q", ts[i].name, out, err, want)
		}
		if !ts[i].ours() {
			t.Errorf("%s gets no flags of holdfast", ts[i].name)
		}
	}
	trees, err := exec.Command("git", "-C", root, "worktree", "list").Output()
	if err != nil || strings.Count(string(trees), "\n") != 1 {
		t.Errorf("worktrees, %v:\n%s", err, trees)
	}
	if o := newCircumstances(host{}, c, cpus{}); len(o.Against) != 40 || o.Against == o.Commit || !o.Dirty {
		t.Errorf("the result says commit %q, dirty %v, against %q", o.Commit, o.Dirty, o.Against)
	}
}

func TestAgainstIsRefused(t *testing.T) {
	root := twoCommits(t)
	for _, c := range []common{
		{root: root, wait: "spin", against: "no-such-branch"},
		{root: root, wait: "spin", against: "--help"},
		{root: t.TempDir(), wait: "spin", against: "HEAD"}, // no repository
	} {
		if err := c.check(); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), c.against) {
			t.Errorf("-against %s: %v", c.against, err)
		}
	}
	var names named
	if err := names.Set(before + "=/x"); err == nil {
		t.Error("-compare may have the name of -against")
	}
}
