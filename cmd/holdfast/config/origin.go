package config

import (
	"fmt"
	"slices"
	"strings"
)

// rank orders the sources of a value; the highest that says something wins.
type rank uint8

const (
	rankDefault rank = iota
	rankFile
	rankAlias // Laravel's REVERB_ variables
	rankEnv   // HOLDFAST_ variables
	rankFlag
)

// origin is where a value was given: what a reader would look for.
type origin struct {
	rank rank
	at   string // file:line, variable or flag
}

func (o origin) String() string {
	switch o.rank {
	case rankFile:
		return "file " + o.at
	case rankAlias:
		return "env " + o.at + " (alias)"
	case rankEnv:
		return "env " + o.at
	case rankFlag:
		return "flag " + o.at
	}
	return "default"
}

// where is the origin as the beginning of a fault.
func (o origin) where() string {
	if o.rank == rankFile {
		return o.at
	}
	return o.String()
}

// candidate is one value that a source gives to one key.
type candidate struct {
	origin
	value value
}

// place names one key of one table: "limits.head_bytes", "apps[1].id".
func place(k *key, index int) string {
	if k.section.array {
		return fmt.Sprintf("%s[%d].%s", k.section.name, index, k.name)
	}
	return k.path()
}

// gathering collects what every source says before anything is decided.
type gathering struct {
	schema *schema
	file   string // its name, once it was read
	faults Faults
	given  map[string][]candidate // by place; rising rank, the last one wins
	tables map[string][]int       // line of each table of an array of tables, by section

	// refused is every place whose value was a fault, so that it is not
	// reported as missing as well.
	refused map[string]bool
}

func newGathering() *gathering {
	return &gathering{
		schema:  newSchema(),
		given:   map[string][]candidate{},
		tables:  map[string][]int{},
		refused: map[string]bool{},
	}
}

// offer records a value, or the fault that parsing it gave. shown is the value
// as it was written; secrets are never shown.
func (g *gathering) offer(k *key, index int, o origin, shown string, v value, err error) {
	name := k.path()
	switch {
	case err != nil && k.secret:
		g.refused[place(k, index)] = true
		g.faults.add(o.where(), "", "%s %v", name, err)
	case err != nil:
		g.refused[place(k, index)] = true
		g.faults.add(o.where(), "", "%s = %s %v", name, shown, err)
	default:
		at := place(k, index)
		cs := g.given[at]
		// Sources arrive in rising rank except that a flag may come twice: the
		// later one wins, so equal rank goes behind.
		i := len(cs)
		for i > 0 && cs[i-1].rank > o.rank {
			i--
		}
		g.given[at] = slices.Insert(cs, i, candidate{o, v})
	}
}

// best is the value that holds for a key so far, and whether a source gave it.
func (g *gathering) best(k *key, index int) (candidate, bool) {
	if cs := g.given[place(k, index)]; len(cs) > 0 {
		return cs[len(cs)-1], true
	}
	def, _ := k.parseText(k.def)
	return candidate{value: def}, false
}

// text offers what a variable or a flag says. Arrays of tables: the first one.
func (g *gathering) text(k *key, o origin, text string) {
	if k.section.name == "history" {
		g.faults.add(o.where(), "remove it", "[[%s]] can be set in the file only", k.section.name)
		return
	}
	v, err := k.parseText(text)
	g.offer(k, 0, o, quote(text), v, err)
}

// provenance remembers the candidates of each place, for printing and for faults.
type provenance map[string][]candidate

// of is the winning origin of a place.
func (p provenance) of(at string) origin {
	if cs := p[at]; len(cs) > 0 {
		return cs[len(cs)-1].origin
	}
	return origin{}
}

// comment says where the value of a place came from and what it overrode.
func (p provenance) comment(k *key, at string) string {
	cs := p[at]
	if len(cs) == 0 {
		return "default"
	}
	var b strings.Builder
	b.WriteString(cs[len(cs)-1].String())
	for i := len(cs) - 2; i >= 0; i-- {
		fmt.Fprintf(&b, ", over %s %s", cs[i].origin, k.literal(cs[i].value))
	}
	return b.String()
}
