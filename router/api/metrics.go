package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statuses are the statuses that the API answers; any other would be counted as 500.
var statuses = [...]int{200, 204, 400, 401, 403, 404, 405, 408, 409, 410, 413, 429, 431, 500, 503}

// metrics counts requests. Both label sets are closed and all series exist from
// the start, so that counting is an index and an atomic add. It is the
// prometheus.Collector of the package.
type metrics struct {
	requestsVec  *prometheus.CounterVec
	durationsVec *prometheus.HistogramVec

	requests  [routes][len(statuses)]prometheus.Counter
	durations [routes]prometheus.Observer
}

func newMetrics() *metrics {
	m := &metrics{
		requestsVec: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_api_requests_total",
			Help: "HTTP API requests answered, by route and status.",
		}, []string{"route", "status"}),
		durationsVec: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "holdfast_api_request_duration_seconds",
			Help:    "Time from a complete HTTP API request to its answer, by route.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}, []string{"route"}),
	}
	for r := range routes {
		m.durations[r] = m.durationsVec.WithLabelValues(r.String())
		for i, status := range statuses {
			m.requests[r][i] = m.requestsVec.WithLabelValues(r.String(), strconv.Itoa(status))
		}
	}
	return m
}

// count counts an answer that was not the outcome of a whole request.
func (m *metrics) count(r route, status int) {
	m.requests[r][statusIndex(status)].Inc()
}

// answered counts the answer of a whole request that took took.
func (m *metrics) answered(r route, status int, took time.Duration) {
	m.count(r, status)
	m.durations[r].Observe(took.Seconds())
}

func statusIndex(status int) int {
	for i, s := range statuses {
		if s == status {
			return i
		}
	}
	return statusIndex(500)
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.requestsVec.Describe(ch)
	m.durationsVec.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.requestsVec.Collect(ch)
	m.durationsVec.Collect(ch)
}
