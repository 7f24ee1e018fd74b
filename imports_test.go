package holdfast_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/holdfast-edge/holdfast"

// A room is a folder of the module, with the rooms it may import. Imports point
// one way: what is not listed is a breach, and why is the answer to it.
// "x/..." stands for x and everything below; "*" for the whole module.
type room struct {
	dir string
	may []string
	why string
}

var rooms = []room{
	{".", nil,
		"the root holds no code"},
	{"frame", nil,
		"frame knows bytes only: no sockets, goroutines or clock; every other room may import it, it imports none"},
	{"frame/pusher", nil,
		"frame/pusher is a pure leaf: messages in, messages out"},
	{"netio", []string{"frame", "netio/wheel", "netio/proxyproto", "tuning/invariant", "tuning/offheap", "tuning/statm"},
		"a socket has no opinion on channels, never waits for a disk, and calls the handler that netio declares"},
	{"netio/wheel", []string{"tuning/invariant", "tuning/offheap"},
		"the timer wheel is pure: time is an argument"},
	{"netio/proxyproto", nil,
		"the PROXY parser is pure"},
	{"persist", []string{"persist/journal", "persist/segment", "tuning/invariant"},
		"persist stores opaque bytes, so that its formats never follow the protocol"},
	{"persist/journal", []string{"tuning/invariant"},
		"the journal is one writer's file: it knows frames, not what is in them"},
	{"persist/journal/journaltest", []string{"persist/journal"},
		"a disk that fails and loses power on request, for tests"},
	{"persist/segment", []string{"tuning/invariant"},
		"segments are the journal's sorted checkpoint and know nothing of it"},
	{"router", []string{"frame", "frame/pusher", "router/auth", "router/limit", "tuning/invariant", "tuning/offheap"},
		"a session must not know its transport or its log: router declares the interfaces, cmd hands them in"},
	{"router/auth", nil,
		"signatures are pure: keys, bytes and time are arguments"},
	{"router/limit", nil,
		"buckets are pure: time is an argument"},
	{"router/api", []string{"router", "router/auth", "router/limit", "frame", "frame/pusher"},
		"the HTTP API speaks to the router; siblings do not know each other"},
	{"router/webhook", []string{"router", "router/auth", "frame/pusher"},
		"webhooks speak to the router; siblings do not know each other"},
	{"router/redisbroker", []string{"router", "router/auth", "router/redisurl", "frame/pusher"},
		"a broker implements the router's interface; siblings do not know each other"},
	{"router/redisurl", nil,
		"where a Redis is, and nothing of what is done with it"},
	{"router/redisbroker/redistest", nil,
		"a real Redis for tests knows nothing of what is kept in it"},
	{"router/routertest", []string{"router", "frame/pusher"},
		"the contract of log and broker knows none of those who keep it"},
	{"router/ingest", []string{"router", "router/auth", "router/redisurl", "frame/pusher"},
		"ingest speaks to the router; siblings do not know each other"},
	{"tuning", []string{"tuning/invariant"},
		"tuning looks at the host, not at the server"},
	{"tuning/invariant", nil,
		"invariant is imported by every room with state, so it imports none"},
	{"tuning/offheap", []string{"tuning/invariant"},
		"pointer-free storage outside the collector's reach knows nothing of what is stored"},
	{"tuning/statm", nil,
		"the memory of the process is a fact for every room that has a bound to keep"},
	{"systemd", nil,
		"systemd holds no code"},
	{"cmd/...", []string{"*"},
		"cmd wires the rooms and may see all of them"},
	{"bench/...", []string{"frame", "frame/pusher", "router/auth"},
		"a rig measures the program from outside; it may borrow the words of the protocol, never the server"},
	{"client/...", nil,
		"client is JavaScript"},
	{"docs/...", nil,
		"docs is text"},
}

// A home is where a module of a third party may be imported. No type of it
// crosses the border of that room.
type home struct {
	module string
	rooms  []string
	why    string
}

var homes = []home{
	{"github.com/cloudwego/netpoll", []string{"netio"},
		"its pollers are global to the process; one file of netio configures them"},
	{"github.com/bytedance/gopkg", []string{"netio"},
		"netpoll's task pool; its panic handler is set where netpoll is configured"},
	{"github.com/cloudwego/gopkg", []string{"netio"},
		"part of netpoll"},
	{"github.com/gobwas/ws", []string{"frame", "cmd/holdfast"},
		"frame uses its cipher and checks; its readers allocate the length a peer declares, which only our own client in cmd may risk"},
	{"github.com/klauspost/compress", []string{"frame"},
		"deflate happens where frames are made, pooled and bounded"},
	{"github.com/go-json-experiment/json", []string{"frame/pusher", "router/api", "router/webhook", "router/ingest", "cmd/..."},
		"strict JSON for what is not on the hot path; other rooms take values, not texts"},
	{"github.com/valyala/fasthttp", []string{"router/api"},
		"its contexts die with the handler; none may leave router/api"},
	{"go.etcd.io/bbolt", []string{"persist/segment"},
		"a leaked transaction pins pages"},
	{"github.com/dgraph-io/ristretto/v2", []string{"persist/segment"},
		"a cache that may lose any entry must not be taken for the truth elsewhere"},
	{"github.com/redis/rueidis", []string{"router/redisbroker", "router/ingest", "router/redisurl"},
		"Redis is one broker behind an interface"},
	{"github.com/golang-jwt/jwt/v5", []string{"router/auth"},
		"tokens are verified in one place"},
	{"github.com/prometheus/client_golang", []string{"netio", "persist", "router", "router/api", "router/webhook", "router/redisbroker", "router/ingest", "tuning", "cmd/..."},
		"a room declares its own metrics; pure leaves have none"},
	{"github.com/coreos/go-systemd/v22", []string{"cmd/..."},
		"the process talks to systemd, its rooms do not"},
	{"github.com/alecthomas/kong", []string{"cmd/..."},
		"the command line belongs to cmd"},
	{"github.com/pelletier/go-toml/v2", []string{"cmd/..."},
		"the configuration file belongs to cmd; rooms take Config values"},
}

func TestImportsPointOneWay(t *testing.T) {
	packages := readImports(t, ".")
	if len(packages) < 10 {
		t.Fatalf("only %d packages found: the test looks at the wrong folder", len(packages))
	}
	for _, p := range packages {
		for _, imported := range p.imports {
			if breach := judge(p.dir, imported); breach != "" {
				t.Errorf("%s: %s", p.dir, breach)
			}
		}
		if !p.documented && p.dir != "." {
			t.Errorf("%s has no doc.go with a package comment: what, who owns it, what bytes or states, what it refuses", p.dir)
		}
	}
}

// The table must bite: each of these imports is a breach, or is none.
func TestImportTableBites(t *testing.T) {
	for name, c := range map[string]struct {
		dir, imported, says string
	}{
		"std is free":                    {"frame", "encoding/binary", ""},
		"x/sys is free":                  {"netio", "golang.org/x/sys/unix", ""},
		"other x is not":                 {"frame", "golang.org/x/net/http2", "has no home"},
		"netio may import frame":         {"netio", module + "/frame", ""},
		"netio may not import router":    {"netio", module + "/router", "a socket has no opinion"},
		"router may not import netio":    {"router", module + "/netio", "must not know its transport"},
		"router may import offheap":      {"router", module + "/tuning/offheap", ""},
		"router may not import tuning":   {"router", module + "/tuning", "must not know"},
		"frame imports none of ours":     {"frame", module + "/frame/pusher", "bytes only"},
		"siblings do not meet":           {"router/webhook", module + "/router/api", "siblings"},
		"persist stores bytes":           {"persist", module + "/frame", "opaque bytes"},
		"nothing imports cmd":            {"bench/rig", module + "/cmd/holdfast/config", "outside"},
		"cmd imports everything of ours": {"cmd/holdfast", module + "/persist", ""},
		"cmd does not import fasthttp":   {"cmd/holdfast", "github.com/valyala/fasthttp", "contexts die"},
		"a subpackage has the same home": {"frame", "github.com/klauspost/compress/flate", ""},
		"a prefix is not a subpackage":   {"netio", "github.com/cloudwego/netpollx", "has no home"},
		"netpoll outside netio":          {"router/api", "github.com/cloudwego/netpoll", "global to the process"},
		"a module without a home":        {"cmd/holdfast", "github.com/stretchr/testify/assert", "has no home"},
		"a room that nobody planned":     {"util", "fmt", "not in the table"},
		"a folder below a planned room":  {"netio/conn", module + "/frame", "not in the table"},
		"the module root holds no code":  {"cmd/holdfast", module, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(c.dir, c.imported)
			if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("%s importing %s: %q, want %q", c.dir, c.imported, got, c.says)
			}
		})
	}
}

// judge returns what is wrong with an import, "" for nothing.
func judge(dir, imported string) string {
	at := slices.IndexFunc(rooms, func(r room) bool { return covers(r.dir, dir) })
	if at < 0 {
		return fmt.Sprintf("the folder is not in the table of rooms in imports_test.go: say what %s may import and why", dir)
	}
	r := rooms[at]
	if imported == module {
		return ""
	}
	if own, ok := strings.CutPrefix(imported, module+"/"); ok {
		if slices.ContainsFunc(r.may, func(pattern string) bool { return covers(pattern, own) }) || strings.HasPrefix(r.dir, "cmd/") {
			return ""
		}
		if covers(r.dir, own) && strings.HasSuffix(r.dir, "/...") {
			return ""
		}
		return fmt.Sprintf("must not import %s: %s", own, r.why)
	}
	if std(imported) || covers("golang.org/x/sys/...", imported) {
		return ""
	}
	for _, h := range homes {
		if !covers(h.module+"/...", imported) {
			continue
		}
		if slices.ContainsFunc(h.rooms, func(pattern string) bool { return covers(pattern, dir) }) {
			return ""
		}
		return fmt.Sprintf("must not import %s, whose home is %s: %s", imported, strings.Join(h.rooms, ", "), h.why)
	}
	return fmt.Sprintf("%s has no home in imports_test.go: name the one room that uses it and why", imported)
}

func covers(pattern, dir string) bool {
	base, below := strings.CutSuffix(pattern, "/...")
	return pattern == "*" || dir == base || below && strings.HasPrefix(dir, base+"/")
}

// std: only a path of the standard library has no dot in its first element.
func std(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

type pkg struct {
	dir        string
	imports    []string // of files that are no tests, once each
	documented bool     // doc.go has a package comment
}

// readImports parses every package below root. Tests may import what they like.
func readImports(t *testing.T, root string) []pkg {
	t.Helper()
	byDir := make(map[string]*pkg)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name == "node_modules" || name == "testdata" || path != root && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		p := byDir[dir]
		if p == nil {
			p = &pkg{dir: dir}
			byDir[dir] = p
		}
		p.documented = p.documented || name == "doc.go" && f.Doc != nil
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(p.imports, imported) {
				p.imports = append(p.imports, imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var packages []pkg
	for _, p := range byDir {
		packages = append(packages, *p)
	}
	slices.SortFunc(packages, func(a, b pkg) int { return strings.Compare(a.dir, b.dir) })
	return packages
}
