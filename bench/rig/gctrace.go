package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// errTrace: a line of the collector's account is not what it was made for.
var errTrace = errors.New("rig: bad gctrace line")

// collection is one line that a Go program writes for each collection with GODEBUG=gctrace=1:
//
//	gc 7 @12.016s 0%: 0.034+1.1+0.0020 ms clock, 0.069+0.10/0.37/0.37+0.0050 ms cpu, 2->3->2 MB, ...
//	                  |     |   |                |     |    |    |    |                      |
//	                  |     |   |                |     |    |    |    second stop            live afterwards
//	                  |     |   |                |     |    |    marking in idle time
//	                  |     |   |                |     |    marking, a quarter of the processors
//	                  |     |   |                |     marking by those who allocate
//	                  |     |   |                first stop
//	                  |     |   second stop of the world: the end of marking
//	                  |     marking, beside the program
//	                  first stop of the world, the time until all have stopped included
//
// Figures have two digits and are cut off, not rounded: 1.0 is from 1.0 up to 1.1.
type collection struct {
	number int
	at     float64    // s since the program's start
	stops  [2]float64 // ms
	cpu    float64    // ms, but for the marking in idle time
	idle   float64    // ms of that
	live   float64    // MB
	forced bool       // by a call, or since none came for two minutes
}

// parseCollection reads one line; ok is false for any other line of the server's output.
func parseCollection(line string) (c collection, ok bool, err error) {
	rest, found := strings.CutPrefix(line, "gc ")
	if !found {
		return c, false, nil
	}
	number, rest, found1 := strings.Cut(rest, " @")
	at, rest, found2 := strings.Cut(rest, "s ")
	_, rest, found3 := strings.Cut(rest, "%: ")
	clock, rest, found4 := strings.Cut(rest, " ms clock, ")
	cpu, rest, found5 := strings.Cut(rest, " ms cpu, ")
	sizes, _, found6 := strings.Cut(rest, " MB")
	phases := strings.Split(clock, "+")
	spent := strings.FieldsFunc(cpu, func(r rune) bool { return r == '+' || r == '/' })
	heaps := strings.Split(sizes, "->")
	if !found1 || !found2 || !found3 || !found4 || !found5 || !found6 || len(phases) != 3 || len(spent) != 5 || len(heaps) != 3 {
		return c, false, fmt.Errorf("%w: %.200q", errTrace, line)
	}
	var errs []error
	figure := func(text string) float64 {
		v, err := strconv.ParseFloat(text, 64)
		if err == nil && !(v >= 0 && v <= math.MaxFloat64) { // ParseFloat takes NaN and Inf
			err = errTrace
		}
		errs = append(errs, err)
		return v
	}
	c.number, err = strconv.Atoi(number)
	errs = append(errs, err)
	c.at = figure(at)
	c.stops = [2]float64{figure(phases[0]), figure(phases[2])}
	c.cpu = figure(spent[0]) + figure(spent[1]) + figure(spent[2]) + figure(spent[4])
	c.idle, c.live = figure(spent[3]), figure(heaps[2])
	c.forced = strings.Contains(line, "(forced)")
	if err := errors.Join(errs...); err != nil {
		return c, false, fmt.Errorf("%w: %.200q: %w", errTrace, line, err)
	}
	return c, true, nil
}

// parseCollections reads all of a server's output. A last line without its end is left out: it is being written.
func parseCollections(output string) (out []collection, err error) {
	for line := range strings.Lines(output) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		c, ok, err := parseCollection(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, c)
		}
	}
	return out, nil
}
