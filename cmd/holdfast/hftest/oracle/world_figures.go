package oracle

import (
	"strconv"
	"strings"
	"time"
)

// Figures are what every test tells about its run.
func (w *World) Figures(v Verdict) map[string]any {
	taken, refused, open := w.Ledger.Count()
	lost, there, replayed, dials := 0, 0, 0, 0
	statuses := map[string]int{}
	for _, p := range w.publishers {
		p.mu.Lock()
		lost += p.lost
		there += p.there
		replayed += p.replayed
		for s, n := range p.statuses {
			statuses[s] += n
		}
		p.mu.Unlock()
	}
	for _, c := range w.clients {
		dials += c.Dials()
	}
	return map[string]any{
		"taken": taken, "refused": refused, "unanswered": open, "answers": statuses,
		"answers_lost": lost, "answers_lost_published": there, "answers_replayed": replayed,
		"clients": len(w.clients), "connects": dials, "delivered": v.Delivered, "recoveries": v.Recoveries, "gaps": v.Gaps,
		"silent": v.Silent, "duplicate": v.Duplicates, "disorder": v.Disorder, "hole": v.Holes, "invented": v.Invented,
		"misplaced": v.Misplaced, "not_kept": v.NotKept, "excused": v.Excused, "lost": v.Lost, "late": v.Late, "epochs_changed": w.epochsNew,
	}
}

// answers counts the answers with a status.
func (w *World) answers(status string) (n int) {
	for _, p := range w.publishers {
		p.mu.Lock()
		n += p.statuses[status]
		p.mu.Unlock()
	}
	return n
}

// answersLost counts the requests whose events clients have and whose answer was lost.
func (w *World) answersLost() (there int) {
	for _, p := range w.publishers {
		there += p.there
	}
	return there
}

// Slowest is the longest that a taken request took on the channels that are asked for.
func (w *World) Slowest(wanted func(Source) bool) (slowest time.Duration) {
	for _, p := range w.publishers {
		if !wanted(p.s) {
			continue
		}
		p.mu.Lock()
		for _, took := range p.latency {
			slowest = max(slowest, took)
		}
		p.mu.Unlock()
	}
	return slowest
}

// Metric is a metric of the server, summed over its labels.
func (w *World) Metric(name string) float64 {
	w.t.Helper()
	sum := 0.0
	for line := range strings.Lines(w.Edge.Metrics()) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		fields := strings.Fields(line)
		v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			w.t.Fatalf("metric %s: %v", line, err)
		}
		sum += v
	}
	return sum
}
