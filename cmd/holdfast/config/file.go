package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFileBytes bounds holdfast.toml; a thousand apps fit many times over.
const maxFileBytes = 4 << 20

// leaf is one value of the file with its full path, such as "apps[0].id".
type leaf struct {
	path  string
	line  int
	value any
}

// readFile offers every key of the file. A missing file is a fault only if it
// was asked for by name.
func (g *gathering) readFile(name string, required bool) {
	if name == "" {
		return
	}
	data, err := readBounded(name, maxFileBytes)
	if errors.Is(err, os.ErrNotExist) && !required {
		return
	}
	if err != nil {
		g.faults.add("flag --config", "name a readable TOML file", "%v", err)
		return
	}
	leaves, tables, err := parseFile(data)
	if err != nil {
		var de *toml.DecodeError
		if errors.As(err, &de) {
			row, column := de.Position()
			g.faults.add(fmt.Sprintf("%s:%d", name, row), "correct the line", "not valid TOML at column %d: %s", column, strings.TrimPrefix(de.Error(), "toml: "))
			return
		}
		g.faults.add(name, "correct the file", "not valid TOML: %s", strings.TrimPrefix(err.Error(), "toml: "))
		return
	}
	g.file, g.tables = name, tables
	for _, l := range leaves {
		g.fileLeaf(name, l)
	}
}

// readBounded reads a whole file of at most max bytes.
func readBounded(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%s is larger than %s", name, sizeText(max))
	}
	return data, err
}

// fileLeaf finds the key of one leaf and offers its value, or names the nearest key.
func (g *gathering) fileLeaf(name string, l leaf) {
	where := fmt.Sprintf("%s:%d", name, l.line)
	parent, keyName, index := splitPath(l.path)
	if sec, ok := g.schema.section(plainPath(l.path)); ok {
		if table, empty := l.value.(map[string]any); empty && len(table) == 0 {
			return // a section without keys
		}
		g.faults.add(where, "write "+sec.header()+" above its keys", "%s is a section, not a key", sec.name)
		return
	}
	sec, ok := g.schema.section(parent)
	if !ok {
		g.unknown(where, parent, l)
		return
	}
	if sec.array != (index >= 0) {
		g.faults.add(where, "write "+sec.header(), "%s has the wrong kind of table", sec.name)
		return
	}
	k, ok := sec.key(keyName)
	if !ok {
		g.faults.add(where, g.schema.suggestKey(sec.name+"."+keyName), "unknown key %s.%s", sec.name, keyName)
		return
	}
	v, err := k.parseTOML(l.value)
	g.offer(k, max(index, 0), origin{rankFile, where}, shownTOML(l.value), v, err)
}

// header is how the section begins in the file.
func (s *section) header() string {
	if s.array {
		return "[[" + s.name + "]]"
	}
	return "[" + s.name + "]"
}

// unknown reports a leaf outside every known section, once per section.
func (g *gathering) unknown(where, parent string, l leaf) {
	path := plainPath(l.path)
	_, table := l.value.(map[string]any)
	if parent == "" && !table {
		g.faults.add(where, g.schema.suggestKey(path), "unknown key %s outside any section", path)
		return
	}
	if !table {
		path = plainPath(parent)
	}
	what := fmt.Sprintf("unknown section [%s]", path)
	if n := len(g.faults); n > 0 && g.faults[n-1].What == what {
		return
	}
	g.faults.add(where, g.schema.suggestSection(path), "%s", what)
}

// shownTOML is a file's value for a fault, cut so that a pasted certificate
// does not fill the screen.
func shownTOML(v any) string {
	var text string
	switch x := v.(type) {
	case string:
		text = quote(x)
	case map[string]any:
		text = "{…}"
	case []any:
		text = "[…]"
	default:
		text = fmt.Sprint(x)
	}
	if r := []rune(text); len(r) > 64 {
		text = string(r[:64]) + "…"
	}
	return text
}

// parseFile decodes a TOML document twice: the decoder gives the values and
// refuses what TOML refuses (duplicate keys and tables included), the parser
// gives the line of each key.
func parseFile(data []byte) ([]leaf, map[string][]int, error) {
	var doc map[string]any
	if err := toml.Unmarshal(data, &doc); err != nil {
		return nil, nil, err
	}
	lines, tables := keyLines(data)
	var leaves []leaf
	flatten("", doc, func(path string, v any) {
		leaves = append(leaves, leaf{path: path, line: lineOf(lines, path), value: v})
	})
	slices.SortStableFunc(leaves, func(a, b leaf) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.path, b.path))
	})
	return leaves, tables, nil
}

// flatten visits every value that is not a table with keys, and every table without any.
func flatten(path string, v any, visit func(path string, v any)) {
	switch x := v.(type) {
	case map[string]any:
		if len(x) == 0 && path != "" {
			visit(path, x)
		}
		for name, child := range x {
			flatten(join(path, name), child, visit)
		}
		return
	case []any:
		tables := len(x) > 0
		for _, item := range x {
			_, ok := item.(map[string]any)
			tables = tables && ok
		}
		if tables {
			for i, item := range x {
				flatten(fmt.Sprintf("%s[%d]", path, i), item, visit)
			}
			return
		}
	}
	visit(path, v)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// keyLines is the line of each key and table, by path, and the lines of each
// array of tables' members.
func keyLines(data []byte) (lines map[string]int, tables map[string][]int) {
	lines, tables = map[string]int{}, map[string][]int{}
	members := map[string]int{} // by path, how many [[…]] were met
	var parser unstable.Parser
	parser.Reset(data)
	table := ""
	for parser.NextExpression() {
		node := parser.Expression()
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			var line int
			table, line = tablePath(&parser, node, members)
			if node.Kind == unstable.ArrayTable {
				tables[table] = append(tables[table], line)
				members[table]++
				table = fmt.Sprintf("%s[%d]", table, members[table]-1)
			}
			lines[table] = line
		case unstable.KeyValue:
			keyValueLines(&parser, table, node, lines, tables)
		}
	}
	return lines, tables
}

// tablePath is the path of a table header; a part that is an array of tables
// means its latest member.
func tablePath(p *unstable.Parser, node *unstable.Node, members map[string]int) (path string, line int) {
	for it := node.Key(); it.Next(); {
		if n := members[path]; n > 0 {
			path = fmt.Sprintf("%s[%d]", path, n-1)
		}
		path = join(path, string(it.Node().Data))
		line = p.Shape(it.Node().Raw).Start.Line
	}
	return path, line
}

// keyValueLines records one "key = value" and what is inside inline tables.
func keyValueLines(p *unstable.Parser, table string, node *unstable.Node, lines map[string]int, tables map[string][]int) {
	path, line := table, 0
	for it := node.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		line = p.Shape(it.Node().Raw).Start.Line
	}
	lines[path] = line
	inlineLines(p, path, line, node.Value(), lines, tables)
}

func inlineLines(p *unstable.Parser, path string, line int, v *unstable.Node, lines map[string]int, tables map[string][]int) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				keyValueLines(p, path, it.Node(), lines, tables)
			}
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.Comment {
				continue
			}
			item := fmt.Sprintf("%s[%d]", path, i)
			lines[item] = line
			if it.Node().Kind == unstable.InlineTable {
				tables[path] = append(tables[path], line)
			}
			inlineLines(p, item, line, it.Node(), lines, tables)
			i++
		}
	}
}

// lineOf is the line of a path, or of the nearest parent that has one.
func lineOf(lines map[string]int, path string) int {
	for path != "" {
		if line := lines[path]; line > 0 {
			return line
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			break
		}
		path = path[:i]
	}
	return 1
}

// splitPath takes "apps[1].id" apart into "apps", "id" and 1; index is -1
// without brackets.
func splitPath(path string) (parent, name string, index int) {
	index = -1
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, index
	}
	parent, name = path[:i], path[i+1:]
	if open := strings.LastIndexByte(parent, '['); open >= 0 && strings.HasSuffix(parent, "]") {
		if n, err := strconv.Atoi(parent[open+1 : len(parent)-1]); err == nil {
			return parent[:open], name, n
		}
	}
	return parent, name, index
}

// plainPath is the path without indices.
func plainPath(path string) string {
	var b strings.Builder
	depth := 0
	for _, r := range path {
		switch {
		case r == '[':
			depth++
		case r == ']' && depth > 0:
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}
