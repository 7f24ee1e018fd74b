package config

import (
	"slices"
	"strings"
)

const (
	envPrefix = "HOLDFAST_"
	// envAdminToken is the only HOLDFAST_ variable that is not a key of the file.
	envAdminToken = envPrefix + "ADMIN_TOKEN"
)

// environment is the process environment as a map; of a variable given twice
// the last one counts, as for a shell's child.
func environment(env []string) map[string]string {
	m := make(map[string]string, len(env))
	for _, entry := range env {
		if name, v, ok := strings.Cut(entry, "="); ok {
			m[name] = v
		}
	}
	return m
}

// readEnv offers every HOLDFAST_ variable and returns the admin token. An empty
// variable says "empty", it does not mean that nothing was said.
func (g *gathering) readEnv(env map[string]string) (adminToken Secret) {
	var names []string
	for name := range env {
		if strings.HasPrefix(name, envPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if name == envAdminToken {
			adminToken = Secret(env[name])
			continue
		}
		o := origin{rankEnv, name}
		k, ok := g.schema.byEnv[name]
		if !ok {
			g.faults.add(o.where(), g.schema.suggestEnv(name), "unknown variable")
			continue
		}
		g.text(k, o, env[name])
	}
	return adminToken
}

// Flag is a command line flag that stands for one key.
type Flag struct {
	Name  string // as the user wrote it: "--listen"
	Key   string // "server.listen"
	Value string
}

// readFlags offers named flags, then --set; of two for one key the later wins.
func (g *gathering) readFlags(flags []Flag, sets []string) {
	for _, f := range flags {
		g.text(g.schema.byPath[f.Key], origin{rankFlag, f.Name}, f.Value)
	}
	for _, set := range sets {
		o := origin{rankFlag, "--set"}
		path, text, ok := strings.Cut(set, "=")
		if !ok {
			g.faults.add(o.where(), "write --set section.key=value", "%q has no \"=\"", set)
			continue
		}
		k, ok := g.schema.byPath[path]
		if !ok {
			g.faults.add(o.where(), g.schema.suggestKey(path), "unknown key %s", path)
			continue
		}
		g.text(k, o, text)
	}
}
