package tuning

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sysctlMark begins every file that this package writes. A file without it is
// somebody else's and is never replaced.
const sysctlMark = "# Written by holdfast doctor"

// sysctlKind decides what happens when the live value is not the wanted one.
type sysctlKind uint8

const (
	// kindCeiling: larger is safer. The larger of live and wanted is written.
	kindCeiling sysctlKind = iota
	// kindLimit: a smaller amount is wanted. Where the live one is larger the line is
	// written as a comment, since a host may have its reasons.
	kindLimit
	// kindChoice: a switch, no amount. Written as it is.
	kindChoice
)

// setting is one line of the sysctl file.
type setting struct {
	key      string
	kind     sysctlKind
	want     []uint64
	why      string
	optional bool // the key is missing on older kernels
}

func (n need) settings() []setting {
	tcpMem := n.tcpMem()
	return []setting{
		{key: "fs.nr_open", want: []uint64{n.nrOpen()}, why: "ceiling of LimitNOFILE"},
		{key: "fs.file-max", want: []uint64{n.fileMax()}, why: "descriptors of the whole host"},
		{key: "fs.epoll.max_user_watches", want: []uint64{n.epollWatches()}, why: "one a socket, per user"},
		{key: "net.core.somaxconn", want: []uint64{n.backlog()}, why: "accept queue: 4 s at accept_rate"},
		{key: "net.ipv4.tcp_max_syn_backlog", want: []uint64{65535}, why: "half-open handshakes before cookies"},
		{key: "net.core.netdev_max_backlog", want: []uint64{16384}, why: "packets queued for a busy core"},
		{key: "net.ipv4.tcp_mem", want: tcpMem[:], why: "pages; a message to all sockets needs one page each until acknowledged"},
		{key: "net.core.rmem_max", want: []uint64{4194304}, why: "caps SO_RCVBUF only"},
		{key: "net.core.wmem_max", want: []uint64{4194304}, why: "caps SO_SNDBUF only"},
		{key: "net.ipv4.tcp_max_orphans", want: []uint64{262144}, why: "mass close: sockets without a process"},
		{key: "net.ipv4.tcp_max_tw_buckets", want: []uint64{262144}, why: "closes by the server, 60 s each"},
		{key: "net.ipv4.tcp_syncookies", kind: kindChoice, want: []uint64{1}, why: "SYN flood"},
		{key: "net.ipv4.tcp_abort_on_overflow", kind: kindChoice, want: []uint64{0}, why: "a full accept queue lets clients back off"},
		{key: "net.ipv4.tcp_migrate_req", kind: kindChoice, want: []uint64{1}, why: "handshakes outlive a listener that closes", optional: true},
		{key: "net.ipv4.tcp_slow_start_after_idle", kind: kindChoice, want: []uint64{0}, why: "bursts after silence"},
		{key: "net.ipv4.tcp_mtu_probing", kind: kindChoice, want: []uint64{1}, why: "mobile paths that lose large packets"},
		{key: "net.ipv4.tcp_rmem", kind: kindLimit, want: []uint64{4096, 65536, 1048576}, why: "caps what a paused reader holds"},
		{key: "net.ipv4.tcp_wmem", kind: kindLimit, want: []uint64{4096, 16384, 262144}, why: "caps what a stuck reader holds: 64 pages"},
		{key: "net.ipv4.tcp_synack_retries", kind: kindLimit, want: []uint64{3}, why: "half-open life 15 s, not 63 s"},
		{key: "net.ipv4.tcp_retries2", kind: kindLimit, want: []uint64{8}, why: "dead peers in about 100 s, not 15 min"},
		{key: "net.ipv4.tcp_orphan_retries", kind: kindChoice, want: []uint64{2}, why: "closed sockets go sooner (0 means 8)"},
		{key: "net.ipv4.tcp_fin_timeout", kind: kindLimit, want: []uint64{20}, why: "FIN_WAIT2 orphans"},
	}
}

// line writes the setting for a host whose live value is given (nil: the key
// does not exist there). No line lowers a live amount.
func (s setting) line(live []uint64) string {
	values := slices.Clone(s.want)
	switch {
	case len(live) != len(values):
		return fmt.Sprintf("# %s is not known here   # %s", s.key, s.why)
	case s.kind == kindCeiling:
		for i := range values {
			values[i] = max(values[i], live[i])
		}
	case s.kind == kindLimit && lowers(live, values):
		return fmt.Sprintf("# lowers the live %s, so it is yours to switch on: %s\n#%s = %s",
			joinNumbers(live), s.why, s.key, joinNumbers(values))
	}
	key := s.key
	if s.optional {
		key = "-" + key // a kernel without the key is no error at boot
	}
	return fmt.Sprintf("# %s\n%s = %s", s.why, key, joinNumbers(values))
}

// lowers tells whether any number of the list would become smaller.
func lowers(live, want []uint64) bool {
	for i := range want {
		if want[i] < live[i] {
			return true
		}
	}
	return false
}

func joinNumbers(values []uint64) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = strconv.FormatUint(v, 10)
	}
	return strings.Join(words, " ")
}

// sysctlFile is the text of the file for this host.
func sysctlFile(h host, n need) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s for %d connections.\n# Load: sysctl --system\n", sysctlMark, n.connections)
	for _, s := range n.settings() {
		b.WriteString(s.line(h.sysctl(s.key)))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// writeSysctl writes the file or says why not, and names the files that will
// win over it at boot.
func writeSysctl(h host, n need, path string) *sysctlReport {
	r := &sysctlReport{Path: path, commands: "sysctl -p " + path}
	if kind := h.container(); kind != "" {
		r.Error = fmt.Sprintf("%v (%s)", ErrContainer, kind)
		return r
	}
	if err := replaceOwnFile(path, sysctlFile(h, n)); err != nil {
		r.Error = err.Error()
		return r
	}
	r.Written = true
	r.Notes = overrides(h, n, path)
	return r
}

// replaceOwnFile writes a new file, or replaces one that this package wrote,
// in one rename: a boot in between sees the old file or the new one.
func replaceOwnFile(path string, content []byte) error {
	switch old, err := os.ReadFile(path); {
	case err == nil && !bytes.HasPrefix(old, []byte(sysctlMark)):
		return fmt.Errorf("%s: %w", path, ErrForeignFile)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".holdfast-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, which is the good case
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// sysctlDirs are read at boot, all files in the order of their base names; of
// two files with one name the directory that stands first here wins.
var sysctlDirs = [...]string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"}

// overrides names every later file that sets one of our keys.
func overrides(h host, n need, path string) []string {
	ours := make(map[string]bool)
	for _, s := range n.settings() {
		ours[s.key] = true
	}
	var notes []string
	seen := map[string]bool{filepath.Base(path): true}
	for _, dir := range sysctlDirs {
		names, err := h.readDir(dir)
		if err != nil {
			continue
		}
		slices.Sort(names)
		for _, name := range names {
			if !strings.HasSuffix(name, ".conf") || name <= filepath.Base(path) || seen[name] {
				continue
			}
			seen[name] = true
			file := filepath.Join(dir, name)
			b, err := h.readFile(file)
			if err != nil {
				continue
			}
			for _, key := range keysOf(b) {
				if ours[key] {
					notes = append(notes, fmt.Sprintf("%s sets %s later than %s and wins at boot. Run: grep -n %s %s",
						file, key, path, key, file))
				}
			}
		}
	}
	return notes
}

// keysOf lists the keys that a sysctl.d file sets, dotted.
func keysOf(file []byte) []string {
	var keys []string
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, _, found := strings.Cut(line, "=")
		if !found {
			continue
		}
		key = strings.TrimPrefix(strings.TrimSpace(key), "-")
		keys = append(keys, strings.ReplaceAll(key, "/", "."))
	}
	return keys
}
