package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// position is where a subscriber stands in a channel: the last event that it has seen.
type position struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// String is the text form, as event streams and polls use it.
func (p position) String() string { return fmt.Sprintf("%s:%d", p.Epoch, p.Seq) }

// parsePosition reads the text form.
func parsePosition(text string) (position, error) {
	epoch, digits, ok := strings.Cut(text, ":")
	seq, err := strconv.ParseUint(digits, 10, 53)
	if !ok || epoch == "" || err != nil {
		return position{}, fmt.Errorf("position %q", text)
	}
	return position{epoch, seq}, nil
}

// success is what holdfast adds to subscription_succeeded.
type success struct {
	Position  *position `json:"position"`  // nil: the channel has no history
	Recovered *bool     `json:"recovered"` // nil: no recovery was asked for
	Replayed  int       `json:"replayed"`
	Reason    string    `json:"reason"` // why nothing was recovered
}

func parseSuccess(text []byte) (s success, err error) {
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("success frame %.300q: %w", text, err)
	}
	return s, nil
}
