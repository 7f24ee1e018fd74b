package config

import "strings"

// suggestKey names the known key nearest to a path that is not one. The same
// name in another section counts as very near: it is the usual mistake.
func (s *schema) suggestKey(path string) string {
	name := path[strings.LastIndexByte(path, '.')+1:]
	best, bestAt := "", 0
	for _, sec := range s.sections {
		for _, k := range sec.keys {
			d := distance(path, k.path())
			if k.name == name {
				d = 1
			}
			if best == "" || d < bestAt {
				best, bestAt = k.path(), d
			}
		}
	}
	return "the nearest known key is " + best
}

// suggestSection names the known section nearest to one that is not.
func (s *schema) suggestSection(name string) string {
	best, bestAt := s.sections[0], distance(name, s.sections[0].name)
	for _, sec := range s.sections[1:] {
		if d := distance(name, sec.name); d < bestAt {
			best, bestAt = sec, d
		}
	}
	return "the nearest known section is " + best.header()
}

// suggestEnv names the known variable nearest to one that is not. A variable
// that lacks only its section (HOLDFAST_DATA_DIR) counts as very near.
func (s *schema) suggestEnv(name string) string {
	best, bestAt := envAdminToken, distance(name, envAdminToken)
	rest := strings.TrimPrefix(name, envPrefix)
	for _, sec := range s.sections {
		for _, k := range sec.keys {
			d := distance(name, k.env())
			if strings.HasSuffix(k.env(), "_"+rest) {
				d = 1
			}
			if d < bestAt {
				best, bestAt = k.env(), d
			}
		}
	}
	return "the nearest known variable is " + best
}

// distance is the number of single-byte insertions, removals and changes that
// turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
