package tuning

import (
	"path"
	"strconv"
	"strings"
)

// noCgroupLimit is where cgroup v1 begins to mean "none": it prints the largest
// page-aligned int64.
const noCgroupLimit = 1 << 62

// memoryCeiling returns the memory this process may use and where that was
// read: the smallest limit on its cgroup or any cgroup above it (v2, then v1),
// else RAM. bytes is 0 when nothing is known.
func (h host) memoryCeiling() (bytes uint64, source string) {
	bytes, source = h.ram(), "RAM"
	b, err := h.readFile("/proc/self/cgroup")
	if err != nil {
		return bytes, source
	}
	for line := range strings.Lines(string(b)) {
		// hierarchy:controllers:path (cgroups(7)); v2 has hierarchy 0 and no controllers.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		mount, file := "", ""
		switch {
		case fields[0] == "0" && fields[1] == "":
			mount, file = "/sys/fs/cgroup", "memory.max"
		case hasController(fields[1], "memory"):
			mount, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		if limit, at := h.smallestLimit(mount, fields[2], file); limit > 0 && (bytes == 0 || limit < bytes) {
			bytes, source = limit, at
		}
	}
	return bytes, source
}

func hasController(list, name string) bool {
	for c := range strings.SplitSeq(list, ",") {
		if c == name {
			return true
		}
	}
	return false
}

// smallestLimit walks from the cgroup up to the root of the mount, because a
// limit on any ancestor binds. Directories that are not there (a v1 path seen
// from inside a container names the host's tree) are passed over.
func (h host) smallestLimit(mount, group, file string) (limit uint64, at string) {
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		p := path.Join(mount, dir, file)
		if b, err := h.readFile(p); err == nil {
			n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
			if err == nil && n > 0 && n < noCgroupLimit && (limit == 0 || n < limit) {
				limit, at = n, p
			}
		}
		if dir == "/" {
			return limit, at
		}
	}
}
