package config

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
)

// Print writes every key as TOML with a comment that says where its value came
// from and what it overrode. Secrets show as "(set)".
func (c *Config) Print(w io.Writer) error {
	var b bytes.Buffer
	root := reflect.ValueOf(c).Elem()
	for i, sec := range newSchema().sections {
		if i > 0 {
			b.WriteByte('\n')
		}
		field := root.Field(sec.field)
		if !sec.array {
			c.printTable(&b, sec, 0, field)
			continue
		}
		for j := range field.Len() {
			if j > 0 {
				b.WriteByte('\n')
			}
			c.printTable(&b, sec, j, field.Index(j))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (c *Config) printTable(b *bytes.Buffer, sec *section, index int, table reflect.Value) {
	b.WriteString(sec.header())
	b.WriteByte('\n')
	for _, k := range sec.keys {
		if c.hidden(k, table) {
			continue
		}
		at := place(k, index)
		line := k.name + " = " + k.literal(c.shown(k, at, table))
		fmt.Fprintf(b, "%-44s # %s\n", line, c.prov.comment(k, at))
	}
	if sec.name == "admin" && c.AdminToken != "" {
		from := "env " + envAdminToken
		if c.Admin.TokenFile != "" {
			from = "token_file"
		}
		fmt.Fprintf(b, "%-44s # %s\n", "# token "+c.AdminToken.String(), from)
	}
}

// shown is the value as it was written, so that "120s" does not become "2m0s";
// a default counts as written in the file.
func (c *Config) shown(k *key, at string, table reflect.Value) value {
	now := k.load(table)
	if cs := c.prov[at]; len(cs) > 0 && k.same(cs[len(cs)-1].value, now) {
		return cs[len(cs)-1].value
	}
	if def, err := k.parseText(k.def); err == nil && k.same(def, now) {
		return def
	}
	return now
}

// hidden leaves out secret where secret_file replaces it, and the reverse.
func (c *Config) hidden(k *key, table reflect.Value) bool {
	if k.section.name != "apps" {
		return false
	}
	app := table.Interface().(App)
	switch k.name {
	case "secret":
		return app.SecretFile != ""
	case "secret_file":
		return app.SecretFile == ""
	}
	return false
}
