package conformance

import "testing"

func TestTheTableIsWhole(t *testing.T) {
	names := map[string]bool{}
	sections := map[string]int{}
	for _, c := range Table() {
		key := c.section + "/" + c.name
		if names[key] {
			t.Errorf("two cases are called %q", key)
		}
		names[key] = true
		sections[c.section]++
	}
	t.Logf("%d cases: %v", len(names), sections)
	if len(names) < 500 {
		t.Errorf("%d cases, want at least 500", len(names))
	}
}
