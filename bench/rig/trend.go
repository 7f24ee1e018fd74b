package main

import (
	"math"
	"slices"
)

// trend is how a series of readings moves, by a fit that single odd readings do not move (Theil and Sen): the median of
// the slopes between every two readings, and the interval that holds the true slope in 95 of 100 cases (by the variance of
// Kendall's statistic). Unit: that of the readings, a second.
type trend struct {
	Slope float64 `json:"slope_per_s"`
	Low   float64 `json:"low_per_s"`
	High  float64 `json:"high_per_s"`
	Count int     `json:"readings"`
}

// normal95 is the quantile of the normal distribution beyond which 2.5 % lie.
const normal95 = 1.959964

// trendOf fits readings y at times x, in seconds. Fewer than three, or readings at one moment, have the trend of nothing:
// an interval without ends.
func trendOf(x, y []float64) trend {
	n := min(len(x), len(y))
	var slopes []float64
	for i := range n {
		for j := i + 1; j < n; j++ {
			if x[j] != x[i] {
				slopes = append(slopes, (y[j]-y[i])/(x[j]-x[i]))
			}
		}
	}
	if n < 3 || len(slopes) == 0 {
		return trend{Low: math.Inf(-1), High: math.Inf(1), Count: n}
	}
	slices.Sort(slopes)
	m := len(slopes)
	f := float64(n)
	half := normal95 * math.Sqrt(f*(f-1)*(2*f+5)/18)
	at := func(i float64) float64 { return slopes[min(max(int(i), 0), m-1)] }
	return trend{
		Slope: (slopes[(m-1)/2] + slopes[m/2]) / 2, Count: n,
		Low: at(math.Floor((float64(m) - half) / 2)), High: at(math.Ceil((float64(m) + half) / 2)),
	}
}

// certain is the part of the growth that chance does not explain: the lower end of the interval, at least 0.
func (t trend) certain() float64 { return max(t.Low, 0) }

// unsure is half the width of the interval: growth below it would not be seen.
func (t trend) unsure() float64 { return (t.High - t.Low) / 2 }

// laterReadings are the readings behind the first third: a server that has just begun still grows into its size.
func laterReadings[T any](readings []T) []T { return readings[len(readings)/3:] }
