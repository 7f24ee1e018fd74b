package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// elements reads a whole SVG and counts its elements by name and class; it fails when that is not XML.
func elements(t *testing.T, text string) map[string]int {
	t.Helper()
	out := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, text)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		name := start.Name.Local
		for _, a := range start.Attr {
			if a.Name.Local == "class" {
				name += "." + a.Value
			}
			if v, err := strconv.ParseFloat(a.Value, 64); err == nil && (math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || v > chartWidth) {
				t.Errorf("%s %s=%s is outside of the picture", name, a.Name.Local, a.Value)
			}
		}
		out[name]++
	}
}

func TestChartIsWellFormed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		c       chart
		circles int
		lines   int
	}{
		{"nothing", chart{Title: "empty"}, 0, 0},
		{"text that is not XML", chart{Title: `a < b & "c"`, X: "<x>", Y: "&", Lines: []line{{Name: "<&>", Points: []point{{1, 2}, {3, 4}}}}}, 2, 2},
		{"one point", chart{LogX: true, LogY: true, Lines: []line{{Name: "floor", Points: []point{{100, 5}}}}}, 1, 1},
		{"two servers", chart{LogX: true, Lines: []line{{Name: "floor", Points: []point{{10, 1}, {10000, 2}}}, {Name: "holdfast", Points: []point{{10, -3}, {100, 2}, {10000, 9}}}}}, 5, 4},
		{"logarithmic with a zero", chart{LogY: true, Lines: []line{{Name: "x", Points: []point{{0, 0}, {1, 1e9}}}}}, 2, 2},
		{"all the same", chart{Lines: []line{{Name: "x", Points: []point{{5, 0}, {5, 0}}}}}, 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := elements(t, tt.c.svg())
			if got["svg"] != 1 || got["circle"] != tt.circles || got["path.line"] != tt.lines || got["path.axis"] != 1 || got["line.grid"] < 4 {
				t.Errorf("elements: %v", got)
			}
		})
	}
}

// The floor looks the same in every picture, whether it is in it or not.
func TestChartColours(t *testing.T) {
	both := chart{Lines: []line{{Name: "floor"}, {Name: "holdfast"}, {Name: "old"}}}
	alone := chart{Lines: []line{{Name: "holdfast"}}}
	if both.colour(0) != chartColours[0] || both.colour(1) != alone.colour(0) || both.colour(1) == both.colour(2) || both.colour(1) == both.colour(0) {
		t.Errorf("%v %v %v, alone %v", both.colour(0), both.colour(1), both.colour(2), alone.colour(0))
	}
}

func TestAxis(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		log    bool
		ticks  []float64
	}{
		{"from zero", []float64{3, 18}, false, []float64{0, 5, 10, 15, 20}},
		{"below zero", []float64{-4, 4}, false, []float64{-4, -2, 0, 2, 4}},
		{"nothing", nil, false, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{"decades", []float64{10, 1000}, true, []float64{10, 20, 50, 100, 200, 500, 1000}},
		{"within a decade", []float64{30, 40}, true, []float64{20, 50}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAxis(tt.values, tt.log)
			same := slices.EqualFunc(a.ticks, tt.ticks, func(x, y float64) bool { return math.Abs(x-y) < 1e-9*max(1, math.Abs(y)) })
			if !same {
				t.Errorf("ticks %v, want %v", a.ticks, tt.ticks)
			}
			for _, v := range tt.values {
				if at := a.at(v); at < -1e-9 || at > 1+1e-9 {
					t.Errorf("%g lies at %g", v, at)
				}
			}
		})
	}
	a := newAxis([]float64{10, 1000}, true)
	if at := a.at(100); math.Abs(at-0.5) > 1e-9 {
		t.Errorf("100 lies at %g between 10 and 1000", at)
	}
}

func TestTickText(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.25: "0.25", 12: "12", 1500: "1.5k", 16384: "16.384k", 4.6e6: "4.6M", -2000: "-2k", 3e9: "3G"} {
		if got := tickText(v); got != want {
			t.Errorf("tickText(%g) = %q, want %q", v, got, want)
		}
	}
}

func TestChartIsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "curves")
	c := chart{Title: "x", Lines: []line{{Name: "y", Points: []point{{1, 1}}}}}
	path, err := c.write(dir, "name")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || filepath.Base(path) != "name.svg" || string(b) != c.svg() {
		t.Errorf("%s: %v", path, err)
	}
}
