package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Input is where Load looks. It is kept by the caller and given again for a reload.
type Input struct {
	// File is the TOML file; "" reads none. If FileRequired is false a file
	// that does not exist is the same as none.
	File         string
	FileRequired bool
	// Env is the environment as "NAME=value".
	Env []string
	// Flags and Sets (section.key=value) rank above everything else.
	Flags []Flag
	Sets  []string
	// Dev accepts demo credentials on any address.
	Dev bool
	// EchoPath is passed through to Config.
	EchoPath string
	// Client: the configuration is read to talk to a server, not to be one. The
	// rules about listeners do not apply, and a secret_file or token_file that
	// this user may not read leaves the secret empty.
	Client bool
}

// Load gathers, ranks, converts and checks. The error is Faults with
// everything that is wrong, or nil.
func Load(in Input) (*Config, error) {
	g := newGathering()
	g.readFile(in.File, in.FileRequired)
	env := environment(in.Env)
	g.readAliases(env)
	token := g.readEnv(env)
	g.readFlags(in.Flags, in.Sets)

	c := g.build()
	c.AdminToken, c.Dev, c.EchoPath = token, in.Dev, in.EchoPath
	g.checkCredentials(c)
	c.readSecrets(&g.faults, in.Client)
	c.check(&g.faults, in.Client)
	if len(g.faults) > 0 {
		return nil, g.faults
	}
	return c, nil
}

// Default is the configuration of an empty environment.
func Default() *Config {
	return newGathering().build()
}

// build stores the winner of each key. Arrays of tables have as many members
// as the file has, and one where it has none: the default rule, the demo app.
func (g *gathering) build() *Config {
	c := &Config{prov: g.given}
	root := reflect.ValueOf(c).Elem()
	for _, sec := range g.schema.sections {
		field := root.Field(sec.field)
		if !sec.array {
			g.fill(sec, 0, field)
			continue
		}
		n := max(1, len(g.tables[sec.name]))
		field.Set(reflect.MakeSlice(field.Type(), n, n))
		for i := range n {
			g.fill(sec, i, field.Index(i))
		}
	}
	return c
}

func (g *gathering) fill(sec *section, index int, table reflect.Value) {
	for _, k := range sec.keys {
		best, _ := g.best(k, index)
		k.store(table, best.value)
	}
}

// credentialKeys are what makes an app: all of them are given, or none.
var credentialKeys = [...]string{"apps.id", "apps.key", "apps.secret"}

// checkCredentials finds apps that are half configured. Falling back to a demo
// value for the missing half would use a secret that everybody knows. For an
// app without any credentials the default ones stand, unless the file began to
// describe an app.
func (g *gathering) checkCredentials(c *Config) {
	for i := range c.Apps {
		begun := i < len(g.tables["apps"])
		var missing []string
		for _, path := range credentialKeys {
			k := g.schema.byPath[path]
			_, given := g.best(k, i)
			given = given || g.refused[place(k, i)]
			if path == "apps.secret" {
				given = g.oneSecret(&c.Apps[i], i) || given
			}
			begun = begun || given
			if !given {
				missing = append(missing, strings.TrimPrefix(path, "apps."))
			}
		}
		if begun && len(missing) > 0 {
			g.faults.add(g.appWhere(i), missingDo(i), "app has no %s", strings.Join(missing, ", no "))
		}
	}
}

// oneSecret settles secret against secret_file: the source of higher rank wins,
// two of the same rank are a fault. It says whether secret_file is given.
func (g *gathering) oneSecret(app *App, i int) bool {
	if app.SecretFile == "" {
		return false
	}
	byFile, _ := g.best(g.schema.byPath["apps.secret_file"], i)
	direct, both := g.best(g.schema.byPath["apps.secret"], i)
	switch {
	case both && direct.rank == byFile.rank:
		g.faults.add(direct.where(), "remove one of them", "app %s has both secret and secret_file", quote(app.ID))
	case both && direct.rank > byFile.rank:
		app.SecretFile = ""
	}
	return true
}

// appWhere is the line of an app's table, or the general place.
func (g *gathering) appWhere(i int) string {
	if lines := g.tables["apps"]; i < len(lines) {
		return fmt.Sprintf("%s:%d", g.file, lines[i])
	}
	return "configuration"
}

func missingDo(i int) string {
	if i == 0 {
		return "set id, key and secret (or secret_file) of [[apps]] together, in the file, by HOLDFAST_APPS_ and REVERB_APP_ variables or by --app-id, --app-key, --app-secret"
	}
	return "set id, key and secret (or secret_file) of this [[apps]]"
}
