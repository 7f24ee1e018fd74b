package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Geometry of a chart. Unit: px.
const (
	chartWidth, chartHeight                      = 720, 420
	chartLeft, chartRight, chartTop, chartBottom = 84, 24, 56, 88
	plotWidth, plotHeight                        = chartWidth - chartLeft - chartRight, chartHeight - chartTop - chartBottom
)

// chartColours are far enough from white and from black, and apart for the colour-blind (blue, orange, green, pink). The
// first is the floor's in every chart; the other lines have the others in turn.
var chartColours = []string{"#3b82c4", "#d97706", "#2a9d6f", "#c2558f"}

// point is one measurement.
type point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// line is one row of points with a name.
type line struct {
	Name   string  `json:"name"`
	Points []point `json:"points"`
}

// chart is one picture: lines over two axes.
type chart struct {
	Title  string `json:"title"`
	X      string `json:"x"` // what the axes count, with the unit
	Y      string `json:"y"`
	LogX   bool   `json:"log_x"`
	LogY   bool   `json:"log_y"`
	Lines  []line `json:"lines"`
	Footer string `json:"-"` // machine and commit
}

// colour is that of a line.
func (c *chart) colour(i int) string {
	if c.Lines[i].Name == "floor" {
		return chartColours[0]
	}
	at := 0
	for _, l := range c.Lines[:i] {
		if l.Name != "floor" {
			at++
		}
	}
	return chartColours[1+at%(len(chartColours)-1)]
}

// axis places values.
type axis struct {
	low, high float64
	log       bool
	ticks     []float64
}

// newAxis spans values. A linear axis begins at 0, or below it; a logarithmic one needs values above 0 and ends at
// powers of ten or what lies closer: 2 and 5 times those.
func newAxis(values []float64, log bool) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if len(values) == 0 {
		low, high = 0, 1
	}
	if log && low > 0 {
		return newLogAxis(low, high)
	}
	low, high = min(low, 0), max(high, 0)
	if low == high {
		high = low + 1
	}
	step := niceStep((high - low) / 5)
	a := axis{low: math.Floor(low/step) * step, high: math.Ceil(high/step-1e-9) * step}
	for i := 0; ; i++ {
		v := a.low + float64(i)*step
		if v > a.high+step/2 {
			return a
		}
		a.ticks = append(a.ticks, v)
	}
}

func newLogAxis(low, high float64) axis {
	var grid []float64
	for power := math.Floor(math.Log10(low)) - 1; power <= math.Ceil(math.Log10(high))+1; power++ {
		for _, digit := range []float64{1, 2, 5} {
			grid = append(grid, digit*math.Pow(10, power))
		}
	}
	from, to := 0, len(grid)-1
	for from+1 < to && grid[from+1] <= low*(1+1e-9) {
		from++
	}
	for to-1 > from && grid[to-1] >= high*(1-1e-9) {
		to--
	}
	return axis{low: grid[from], high: grid[to], log: true, ticks: grid[from : to+1]}
}

// niceStep is the next of 1, 2, 2.5, 5 times a power of ten.
func niceStep(rough float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, digit := range []float64{1, 2, 2.5, 5} {
		if digit*power >= rough*(1-1e-9) {
			return digit * power
		}
	}
	return 10 * power
}

// at is the place of a value, 0 to 1.
func (a axis) at(v float64) float64 {
	if a.log {
		return math.Log(max(v, a.low)/a.low) / math.Log(a.high/a.low)
	}
	return (v - a.low) / (a.high - a.low)
}

// tickText writes a value in few digits: 1.5k, 4.6M.
func tickText(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= unit.size {
			return strconv.FormatFloat(math.Round(v/unit.size*1000)/1000, 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)
}

// svg draws the chart. The background is left to the page; text and axes follow its colour scheme where the picture is
// part of the page, and are of a grey that both bear where not.
func (c *chart) svg() string {
	var xs, ys []float64
	for _, l := range c.Lines {
		for _, p := range l.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y)
		}
	}
	x, y := newAxis(xs, c.LogX), newAxis(ys, c.LogY)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n",
		chartWidth, chartHeight, chartWidth, chartHeight, escape(c.Title))
	b.WriteString(chartStyle)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="24">%s</text>`+"\n", chartLeft, escape(c.Title))
	c.grid(&b, x, y)
	for i, l := range c.Lines {
		l.draw(&b, x, y, c.colour(i))
	}
	c.legend(&b)
	if c.Footer != "" {
		fmt.Fprintf(&b, `<text class="small" x="%d" y="%d">%s</text>`+"\n", chartLeft, chartHeight-8, escape(c.Footer))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

const chartStyle = `<style>
text{font:12px system-ui,sans-serif;fill:#777}
.title{font-size:15px;font-weight:600}
.small{font-size:10px}
.axis{stroke:#808080;stroke-width:1}
.grid{stroke:#808080;stroke-width:1;stroke-opacity:.25}
.line{fill:none;stroke-width:2}
@media (prefers-color-scheme:dark){text{fill:#aaa}}
</style>
`

func (c *chart) grid(b *strings.Builder, x, y axis) {
	bottom := chartTop + plotHeight
	last := -1000.0
	for _, v := range x.ticks {
		at := float64(chartLeft) + x.at(v)*plotWidth
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", at, chartTop, at, bottom)
		if at-last >= 40 { // or their texts run into each other
			fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", at, bottom+18, tickText(v))
			last = at
		}
	}
	last = 1e9
	for _, v := range y.ticks {
		at := float64(bottom) - y.at(v)*plotHeight
		fmt.Fprintf(b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`+"\n", chartLeft, at, chartLeft+plotWidth, at)
		if last-at >= 16 {
			fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", chartLeft-8, at+4, tickText(v))
			last = at
		}
	}
	fmt.Fprintf(b, `<path class="axis" fill="none" d="M%d %dV%dH%d"/>`+"\n", chartLeft, chartTop, bottom, chartLeft+plotWidth)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", chartLeft+plotWidth/2, bottom+38, escape(c.X))
	fmt.Fprintf(b, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", chartTop+plotHeight/2, escape(c.Y))
}

func (l *line) draw(b *strings.Builder, x, y axis, colour string) {
	var path strings.Builder
	for i, p := range l.Points {
		px, py := float64(chartLeft)+x.at(p.X)*plotWidth, float64(chartTop+plotHeight)-y.at(p.Y)*plotHeight
		fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0], px, py)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s: %s, %s</title></circle>`+"\n",
			px, py, colour, escape(l.Name), tickText(p.X), tickText(p.Y))
	}
	if len(l.Points) > 1 {
		fmt.Fprintf(b, `<path class="line" stroke="%s" d="%s"/>`+"\n", colour, path.String())
	}
}

// legend names the lines below the plot.
func (c *chart) legend(b *strings.Builder) {
	at, y := chartLeft, chartTop+plotHeight+60
	for i, l := range c.Lines {
		fmt.Fprintf(b, `<path class="line" stroke="%s" d="M%d %dh22"/>`+"\n", c.colour(i), at, y-4)
		fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", at+28, y, escape(l.Name))
		at += 28 + 8*len([]rune(l.Name)) + 24
	}
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// escape makes text fit for XML.
func escape(s string) string { return escaper.Replace(s) }

// write stores the chart as name.svg in a directory, which is made.
func (c *chart) write(dir, name string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+".svg")
	return path, os.WriteFile(path, []byte(c.svg()), 0o644)
}
