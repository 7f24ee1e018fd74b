package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// before is the name of the holdfast that -against builds.
const before = "before"

// resolve finds the commit that a git revision stands for. Its error says what git did.
func resolve(root, revision string) (string, error) {
	out, err := exec.Command("git", "-C", root, "rev-parse", "--verify", "--end-of-options", revision+"^{commit}").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("revision %q: %s", revision, strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("revision %q: %w", revision, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// buildCommit builds the holdfast of a commit into dir, in a worktree that is gone when it returns: the tree at root may
// have changes, and keeps them.
func buildCommit(root, commit, dir string) (path string, err error) {
	tree := filepath.Join(dir, "worktree")
	if out, err := exec.Command("git", "-C", root, "worktree", "add", "--detach", tree, commit).CombinedOutput(); err != nil {
		return "", fmt.Errorf("git worktree add of %.12s: %w\n%s", commit, err, out)
	}
	defer func() {
		if out, gone := exec.Command("git", "-C", root, "worktree", "remove", "--force", tree).CombinedOutput(); gone != nil && err == nil {
			err = fmt.Errorf("git worktree remove %s: %w\n%s", tree, gone, out)
		}
	}()
	path = filepath.Join(dir, before)
	if err := buildHoldfast(tree, path); err != nil {
		return "", fmt.Errorf("commit %.12s: %w", commit, err)
	}
	return path, nil
}
