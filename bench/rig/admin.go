package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// adminBytes bounds an answer of the admin listener.
const adminBytes = 8 << 20

// fetchAdmin is one GET from holdfast's admin listener.
func (s *server) fetchAdmin(ctx context.Context, path string) (string, error) {
	url := fmt.Sprintf("http://127.0.0.1:%d%s", s.admin, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Close = true // no idle connection may stay behind: its goroutines would be counted
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, adminBytes))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200q", resp.Status, b)
	}
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", path, err)
	}
	return string(b), nil
}

// metrics are the samples of one scrape by name and labels, as they are written: holdfast_x_total{result="idle"}.
type metrics map[string]float64

// parseMetrics reads the text exposition format.
func parseMetrics(text string) (metrics, error) {
	m := metrics{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		// Label values may hold blanks; the value does not, and holdfast writes no timestamp.
		name, value, ok := cutLast(line, " ")
		v, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("metrics: %.200q", line)
		}
		m[strings.TrimSpace(name)] = v
	}
	return m, nil
}

func (s *server) scrape(ctx context.Context) (metrics, error) {
	text, err := s.fetchAdmin(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(text)
}

// since is how much a counter grew from before to m; an error when the server has no such metric.
func (m metrics) since(before metrics, name string) (float64, error) {
	now, ok := m[name]
	if !ok {
		return 0, fmt.Errorf("no metric %s", name)
	}
	return now - before[name], nil
}

// goroutines is how many the server has, by its profile. admin.pprof must be on.
func (s *server) goroutines(ctx context.Context) (int, error) {
	text, err := s.fetchAdmin(ctx, "/debug/pprof/goroutine?debug=1")
	if err != nil {
		return 0, err
	}
	return parseGoroutines(text)
}

func parseGoroutines(text string) (n int, err error) {
	line, _, _ := strings.Cut(text, "\n")
	if _, err := fmt.Sscanf(line, "goroutine profile: total %d", &n); err != nil {
		return 0, fmt.Errorf("goroutine profile %.80q: %w", line, err)
	}
	return n, nil
}
