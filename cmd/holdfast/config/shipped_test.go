package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const shippedFile = "../../../systemd/holdfast.toml"

// TestShippedFile: the file that is installed says exactly the defaults.
func TestShippedFile(t *testing.T) {
	shipped := mustLoad(t, Input{File: shippedFile, FileRequired: true})
	root, want := reflect.ValueOf(shipped).Elem(), reflect.ValueOf(Default()).Elem()
	for _, sec := range newSchema().sections {
		got, def := root.Field(sec.field), want.Field(sec.field)
		if sec.array {
			if got.Len() != 1 {
				t.Fatalf("%d of %s", got.Len(), sec.header())
			}
			got, def = got.Index(0), def.Index(0)
		}
		for _, k := range sec.keys {
			if a, b := k.load(got), k.load(def); !k.same(a, b) {
				t.Errorf("%s = %s in the file, %s by default", k.path(), k.literal(a), k.literal(b))
			}
			if _, given := (&gathering{schema: newSchema(), given: shipped.prov}).best(k, 0); !given && !k.optional {
				t.Errorf("%s is not in the file", k.path())
			}
		}
	}
}

// keyLine is one key of the shipped file, also one that is commented out.
var keyLine = regexp.MustCompile(`^(?:# )?([a-z_]+) = (?:"[^"]*"|\[.*?\]|\S+)(?: +# (.*))?$`)

var boundsText = regexp.MustCompile(`\(([0-9A-Za-z]+)–([0-9A-Za-z]+)`)

// TestShippedComments: the bounds, and the "*" of each comment
// are those that the program applies, and no line has an unknown key.
func TestShippedComments(t *testing.T) {
	data, err := os.ReadFile(shippedFile)
	if err != nil {
		t.Fatal(err)
	}
	s := newSchema()
	var sec *section
	var all bool // the section's own comment speaks for its keys
	var found []string
	for line := range strings.SplitSeq(string(data), "\n") {
		if strings.HasPrefix(line, "[") {
			header, comment, _ := strings.Cut(line, "#")
			sec, _ = s.section(strings.Trim(header, "[] "))
			all = strings.HasPrefix(comment, " *")
			continue
		}
		m := keyLine.FindStringSubmatch(line)
		if m == nil || sec == nil {
			continue
		}
		k, ok := sec.key(m[1])
		if !ok {
			t.Errorf("unknown key %s.%s", sec.name, m[1])
			continue
		}
		found = append(found, k.path())
		if got := all || strings.HasPrefix(m[2], "*"); got != k.reload {
			t.Errorf("%s: the comment says reload %v, the program %v", k.path(), got, k.reload)
		}
		if b := boundsText.FindStringSubmatch(m[2]); b != nil && k.kind != kindString {
			lower, err1 := k.number(b[1])
			if err1 != nil {
				t.Errorf("%s: bound %q: %v", k.path(), b[1], err1)
			}
			upper, err2 := k.number(b[2])
			if err2 != nil {
				t.Errorf("%s: bound %q: %v", k.path(), b[2], err2)
			}
			if lower != k.min && !(lower == 0 && k.zero != "") || upper != k.max {
				t.Errorf("%s: the comment says %s to %s, the program %s", k.path(), b[1], b[2], k.bounds())
			}
		}
	}
	for path := range s.byPath {
		if !slices.Contains(found, path) {
			t.Errorf("%s is not in the file", path)
		}
	}
}
