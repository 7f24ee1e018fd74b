package statm

import (
	"errors"
	"os"
	"testing"
)

func TestParse(t *testing.T) {
	page := uint64(os.Getpagesize())
	for text, want := range map[string]Memory{
		"900 70 5 1 0 60 0\n": {900 * page, 70 * page},
		"900 70":              {900 * page, 70 * page},
		"":                    {},
		"\n":                  {},
		"900\n":               {},
		"900 -70 5\n":         {},
		"x 70 5\n":            {},
	} {
		got, err := Parse([]byte(text))
		if got != want || (err == nil) != (want != Memory{}) || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestRead(t *testing.T) {
	m, err := Read()
	if err != nil || m.Resident < 1<<20 || m.Virtual < m.Resident {
		t.Errorf("%+v, %v", m, err)
	}
}
