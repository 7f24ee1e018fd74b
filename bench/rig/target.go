package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Credentials that a holdfast without a configured app has on a loopback listener.
const (
	appID     = "app-id"
	appKey    = "app-key"
	appSecret = "app-secret"
)

// target is a server that can be measured.
type target struct {
	name    string
	command []string // program and arguments, with placeholders
	extra   []string // behind holdfast's usual flags
	config  string   // text of holdfast's configuration file; "": it runs with its defaults
	pusher  bool     // speaks the Pusher protocol; else the floor's dialect
}

// noHistory is the configuration of a holdfast that keeps no event and numbers none.
const noHistory = "[[history]]\nmatch = \"*\"\nevents = 0\n"

// with is the same server with other settings of its own: flags of serve, and the text of a configuration file.
func (t target) with(config string, flags ...string) target {
	t.config, t.extra = config, append(slices.Clone(t.extra), flags...)
	return t
}

// ours tells whether the server is a holdfast, which gets holdfast's flags and configuration.
func (t target) ours() bool {
	return t.pusher && !strings.ContainsAny(strings.Join(t.command, " "), "{}")
}

// arguments fills in the placeholders. A command without any is a holdfast binary and gets its usual flags.
func (t target) arguments(port, admin int, data string) []string {
	listen, adminListen := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", admin)
	r := strings.NewReplacer("{port}", strconv.Itoa(port), "{listen}", listen, "{admin}", adminListen, "{data}", data)
	out := make([]string, 0, len(t.command)+16)
	filled := false
	for _, a := range t.command {
		b := r.Replace(a)
		filled = filled || b != a
		out = append(out, b)
	}
	if filled {
		return out
	}
	out = append(out, "serve", "--listen", listen, "--admin-listen", adminListen, "--data-dir", data,
		// The client is one host that connects as fast as it can: what protects from such a host is turned off.
		"--set", "admission.accept_rate=1000000", "--set", "admission.half_open_per_ip=0")
	if t.config != "" {
		out = append(out, "--config", configName)
	}
	return append(out, t.extra...)
}

// targets builds or finds the servers with the given names, all of them when none is given. Order: floor, holdfast, the
// one of -against, then -compare in its order. clean removes what was built.
func (c common) targets(progress io.Writer, names ...string) (ts []target, clean func(), err error) {
	dir, err := os.MkdirTemp("", "holdfast-rig-bin-")
	if err != nil {
		return nil, nil, err
	}
	clean = func() { os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			clean()
			clean = nil
		}
	}()
	wanted := func(name string) bool {
		if len(names) == 0 {
			return true
		}
		for _, n := range names {
			if n == name {
				return true
			}
		}
		return false
	}
	if wanted("floor") {
		path := filepath.Join(dir, "floor")
		if err := buildFloor(c.root, path); err != nil {
			return nil, clean, err
		}
		ts = append(ts, target{name: "floor", command: []string{path, "{port}"}})
	}
	if wanted("holdfast") {
		path := c.holdfast
		if path == "" {
			path = filepath.Join(dir, "holdfast")
			fmt.Fprintln(progress, "building ./cmd/holdfast")
			if err := buildHoldfast(c.root, path); err != nil {
				return nil, clean, err
			}
		}
		if path, err = filepath.Abs(path); err != nil {
			return nil, clean, err
		}
		ts = append(ts, target{name: "holdfast", command: []string{path}, pusher: true})
	}
	if c.commit != "" && wanted(before) {
		fmt.Fprintf(progress, "building ./cmd/holdfast of %.12s\n", c.commit)
		path, err := buildCommit(c.root, c.commit, dir)
		if err != nil {
			return nil, clean, err
		}
		ts = append(ts, target{name: before, command: []string{path}, pusher: true})
	}
	for _, o := range c.compare {
		if wanted(o.name) {
			ts = append(ts, target{name: o.name, command: strings.Fields(o.command), pusher: true})
		}
	}
	if len(names) > 0 && len(ts) != len(names) {
		return nil, clean, fmt.Errorf("%w: no server named %s: floor, holdfast, before with -against, or a name given with -compare", errRefused, strings.Join(names, ", "))
	}
	return ts, clean, nil
}

// buildFloor compiles bench/floor/floor.c with the C compiler at hand.
func buildFloor(root, to string) error {
	for _, compiler := range []string{"gcc", "cc", "clang"} {
		path, err := exec.LookPath(compiler)
		if errors.Is(err, exec.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if out, err := exec.Command(path, "-O2", "-o", to, filepath.Join(root, "bench", "floor", "floor.c")).CombinedOutput(); err != nil {
			return fmt.Errorf("%s bench/floor/floor.c: %w (are the C library's headers there? Debian: apt-get install libc6-dev)\n%s", compiler, err, out)
		}
		return nil
	}
	return fmt.Errorf("%w: bench/floor needs a C compiler. Debian: apt-get install gcc libc6-dev", errRefused)
}

func buildHoldfast(root, to string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", to, "./cmd/holdfast")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/holdfast: %w\n%s", err, out)
	}
	return nil
}
