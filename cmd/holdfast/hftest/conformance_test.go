package hftest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest/conformance"
)

// TestConformance plays the whole table of RFC 6455 and RFC 7692 conversations
// against the program's echo path and prints what was played.
func TestConformance(t *testing.T) {
	edge := Start(t, Options{Flags: []string{"--echo-path", "/echo", "--set", "limits.handshake_timeout=20s"}})
	played, failed := map[string]int{}, map[string]int{}
	conformance.Run(edge.Addr, "/echo", func(r conformance.Result) {
		played[r.Section]++
		if r.Err != nil {
			failed[r.Section]++
			t.Errorf("%s: %s, %s: %v", r.Section, r.Name, r.Delivery, r.Err)
		}
	})
	total, bad := 0, 0
	for _, section := range slices.Sorted(maps.Keys(played)) {
		fmt.Printf("conformance  %-18s %4d played  %d failed\n", section, played[section], failed[section])
		total, bad = total+played[section], bad+failed[section]
	}
	fmt.Printf("conformance  %-18s %4d played  %d failed\n", "all", total, bad)
}
