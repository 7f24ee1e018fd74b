package limits

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// app is one application and how its backend calls.
type app struct {
	id, key, secret string
	at              time.Duration // how far the backend's clock is off
}

// demo is the application that a server without configuration has.
var demo = app{id: hftest.AppID, key: hftest.AppKey, secret: hftest.AppSecret}

// config is the application's part of a holdfast.toml.
func (a app) config(more string) string {
	return fmt.Sprintf("[[apps]]\nid = %q\nkey = %q\nsecret = %q\n%s\n", a.id, a.key, a.secret, more)
}

// sign is "KEY:HEX", which admits to a channel and signs in.
func (a app) sign(text string) string {
	mac := hmac.New(sha256.New, []byte(a.secret))
	mac.Write([]byte(text))
	return a.key + ":" + hex.EncodeToString(mac.Sum(nil))
}

// client keeps enough connections for all storms: with too few, each round would
// be a connect.
var client = &http.Client{
	Timeout:   hftest.Patience,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
}

// post makes a signed call. path is what follows /apps/{id}.
func (a app) post(edge *hftest.Edge, path, body string) (hftest.Response, error) {
	return a.call(edge, http.MethodPost, path, body)
}

func (a app) call(edge *hftest.Edge, method, path, body string) (hftest.Response, error) {
	path = "/apps/" + a.id + path
	query := hftest.Sign(a.key, a.secret, method, path, url.Values{}, body, time.Now().Add(a.at))
	req, err := http.NewRequest(method, "http://"+edge.Addr+path+"?"+query.Encode(), strings.NewReader(body))
	if err != nil {
		return hftest.Response{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return hftest.Response{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return hftest.Response{Status: resp.StatusCode, Header: resp.Header, Body: string(b)}, err
}

// event is the body of a publish to one channel.
func event(name, data, channel string) string {
	return toJSON(map[string]any{"name": name, "data": data, "channels": []string{channel}})
}

// refusal is the body of every error answer; the last three stand for limits.
type refusal struct {
	Error  string `json:"error"`
	Code   string `json:"code"`
	Status int    `json:"status"`
	Limit  int64  `json:"limit"`
	Actual int64  `json:"actual"`
	Knob   string `json:"knob"`
}

// refused expects exactly this refusal. Error is what its sentence must contain;
// the knob must stand in it in any case. A negative Actual may be anything over
// the limit.
func refused(r hftest.Response, err error, want refusal) error {
	if err != nil {
		return fmt.Errorf("wanted %d %s: %w", want.Status, want.Code, err)
	}
	var got refusal
	decoder := json.NewDecoder(strings.NewReader(r.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		return fmt.Errorf("wanted %d %s: %w in %d %q", want.Status, want.Code, err, r.Status, r.Body)
	}
	sentence := got.Error
	if want.Actual < 0 && got.Actual > want.Limit {
		got.Actual = want.Actual
	}
	if !strings.Contains(sentence, want.Error) || !strings.Contains(sentence, want.Knob) || r.Status != want.Status {
		return fmt.Errorf("wanted %+v, got %d %s", want, r.Status, r.Body)
	}
	if got.Error = want.Error; got != want {
		return fmt.Errorf("wanted %+v, got %d %s", want, r.Status, r.Body)
	}
	return nil
}

// taken expects 200.
func taken(r hftest.Response, err error) error {
	if err == nil && r.Status != http.StatusOK {
		err = fmt.Errorf("got %d %s, wanted 200", r.Status, r.Body)
	}
	return err
}

// answer reads one response off a raw socket.
func (s *socket) answer() (hftest.Response, error) {
	s.patience()
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil {
		return hftest.Response{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if resp.Close { // net/http takes the field out
		resp.Header.Set("Connection", "close")
	}
	return hftest.Response{Status: resp.StatusCode, Header: resp.Header, Body: string(b)}, err
}

// metric is the sum of the samples whose line begins so, without "holdfast_".
func metric(edge *hftest.Edge, series string) float64 {
	sum := 0.0
	for line := range strings.Lines(edge.Metrics()) {
		if !strings.HasPrefix(line, "holdfast_"+series) {
			continue
		}
		if fields := strings.Fields(line); len(fields) == 2 {
			n, _ := strconv.ParseFloat(fields[1], 64) // a sample is a number
			sum += n
		}
	}
	return sum
}

// accepts is the series of accept_total with that result.
func accepts(edge *hftest.Edge, result string) string {
	return fmt.Sprintf("accept_total{listener=%q,result=%q}", edge.Addr, result)
}

// grew expects a counter to have grown by at least n since it stood at before.
func grew(t testing.TB, edge *hftest.Edge, series string, before, n float64) {
	t.Helper()
	if now := metric(edge, series); now < before+n {
		t.Errorf("%s went from %v to %v, wanted %v more", series, before, now, n)
	}
}

// resident is the memory of the server, in bytes (VmRSS, proc(5)).
func resident(t testing.TB, edge *hftest.Edge) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", edge.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	fields := strings.Fields(string(rest))
	if len(fields) < 2 {
		t.Fatalf("no VmRSS in %s", status)
	}
	kib, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// set makes the flags that set keys: set("limits.message_time=1s").
func set(keys ...string) (flags []string) {
	for _, key := range keys {
		flags = append(flags, "--set", key)
	}
	return flags
}
