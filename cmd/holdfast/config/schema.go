package config

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

// kind is how the value of a key is written and stored.
type kind uint8

const (
	kindString   kind = iota
	kindBool          // true or false
	kindInt           // whole number
	kindSize          // bytes with a unit, stored as Size
	kindDuration      // time with a unit, stored as time.Duration
	kindList          // strings; in variables and flags separated by commas
)

// key is one key of the file, read from the tags of its struct field.
type key struct {
	section  *section
	name     string
	field    int // index in the section's struct
	kind     kind
	def      string // the default as it is written in the file, lists joined by commas
	min, max int64  // inclusive; nanoseconds, bytes or a count
	minText  string
	maxText  string
	zero     string // what 0 means; "" = 0 is out of bounds when min is above it
	oneOf    []string
	reload   bool
	secret   bool
	optional bool
}

// path is the key's full name, such as "limits.head_bytes".
func (k *key) path() string { return k.section.name + "." + k.name }

// env is the variable that sets the key.
func (k *key) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.path(), ".", "_"))
}

// section is one table of the file, or one array of tables.
type section struct {
	name  string
	field int // index in Config
	array bool
	keys  []*key
}

// schema is every section and key in the order of Config.
type schema struct {
	sections []*section
	byPath   map[string]*key
	byEnv    map[string]*key
}

// newSchema reads the tags of Config. A bad tag is a mistake in this package
// that its tests find, hence a panic and not an error.
func newSchema() *schema {
	s := &schema{byPath: map[string]*key{}, byEnv: map[string]*key{}}
	root := reflect.TypeFor[Config]()
	for i := range root.NumField() {
		field := root.Field(i)
		name, ok := field.Tag.Lookup("key")
		if !ok {
			continue
		}
		sec := &section{name: name, field: i}
		table := field.Type
		if table.Kind() == reflect.Slice {
			sec.array, table = true, table.Elem()
		}
		for j := range table.NumField() {
			k := newKey(sec, j, table.Field(j))
			k.reload = k.reload || field.Tag.Get("reload") == "yes"
			sec.keys = append(sec.keys, k)
			s.byPath[k.path()] = k
			s.byEnv[k.env()] = k
		}
		s.sections = append(s.sections, sec)
	}
	return s
}

func newKey(sec *section, index int, field reflect.StructField) *key {
	k := &key{
		section:  sec,
		name:     field.Tag.Get("key"),
		field:    index,
		kind:     kindOf(field.Type),
		def:      field.Tag.Get("default"),
		minText:  field.Tag.Get("min"),
		maxText:  field.Tag.Get("max"),
		zero:     field.Tag.Get("zero"),
		oneOf:    strings.Fields(field.Tag.Get("oneof")),
		reload:   field.Tag.Get("reload") == "yes",
		secret:   field.Tag.Get("secret") == "yes",
		optional: field.Tag.Get("optional") == "yes",
		max:      math.MaxInt64,
	}
	for _, b := range []struct {
		text string
		to   *int64
	}{{k.minText, &k.min}, {k.maxText, &k.max}} {
		if b.text == "" {
			continue
		}
		n, err := k.number(b.text)
		if err != nil {
			panic(fmt.Sprintf("config: bound %q of %s: %v", b.text, k.path(), err))
		}
		*b.to = n
	}
	if _, err := k.parseText(k.def); err != nil {
		panic(fmt.Sprintf("config: default %q of %s: %v", k.def, k.path(), err))
	}
	return k
}

func kindOf(t reflect.Type) kind {
	switch t {
	case reflect.TypeFor[Size]():
		return kindSize
	case reflect.TypeFor[time.Duration]():
		return kindDuration
	case reflect.TypeFor[[]string]():
		return kindList
	}
	switch t.Kind() {
	case reflect.String:
		return kindString
	case reflect.Bool:
		return kindBool
	case reflect.Int:
		return kindInt
	}
	panic("config: no kind for " + t.String())
}

// section returns the section of that name.
func (s *schema) section(name string) (*section, bool) {
	for _, sec := range s.sections {
		if sec.name == name {
			return sec, true
		}
	}
	return nil, false
}

// key returns the section's key of that name.
func (s *section) key(name string) (*key, bool) {
	for _, k := range s.keys {
		if k.name == name {
			return k, true
		}
	}
	return nil, false
}
