package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

type publishCommand struct {
	targetFlags `embed:""`
	SocketID    string   `name:"socket-id" placeholder:"ID" help:"Connection that does not get the event."`
	Info        string   `placeholder:"user_count,…" help:"Attributes of the channels to answer with: user_count, subscription_count, position."`
	Durable     bool     `help:"Answer only when the event is on the server's disk."`
	Key         string   `name:"idempotency-key" placeholder:"KEY" help:"A second request with the same key publishes nothing and gets the first one's answer."`
	Also        []string `name:"channel" sep:"none" placeholder:"NAME" help:"A further channel; may be repeated."`
	Channel     string   `arg:"" help:"Channel to publish to."`
	Event       string   `arg:"" help:"Name of the event."`
	Data        string   `arg:"" help:"Data of the event, usually JSON; - reads it from standard input."`
}

const (
	// publishTimeout bounds one request, from connect to the answer's end.
	publishTimeout = 30 * time.Second
	// maxAnswerBytes bounds what is read of an answer.
	maxAnswerBytes = 1 << 20
	// maxInputBytes bounds data from standard input; the server's own limit is
	// lower and names its key.
	maxInputBytes = 64 << 20
)

// eventBody is the body of POST /apps/{id}/events.
type eventBody struct {
	Name     string   `json:"name"`
	Channels []string `json:"channels"`
	Data     string   `json:"data"`
	SocketID string   `json:"socket_id,omitempty"`
	Info     string   `json:"info,omitempty"`
	Durable  bool     `json:"durable,omitempty"`
	Key      string   `json:"idempotency_key,omitempty"`
}

func (c *publishCommand) run(p *process) int {
	t, ok := c.resolve(p)
	if !ok {
		return exitUsage
	}
	data := c.Data
	if data == "-" {
		read, err := io.ReadAll(io.LimitReader(p.in, maxInputBytes))
		if err != nil {
			return p.fail("publish", fmt.Errorf("reading standard input: %w", err))
		}
		data = string(read)
	}
	body, err := marshal(eventBody{
		Name:     c.Event,
		Channels: append([]string{c.Channel}, c.Also...),
		Data:     data,
		SocketID: c.SocketID,
		Info:     c.Info,
		Durable:  c.Durable,
		Key:      c.Key,
	})
	if err != nil {
		return p.fail("publish", err)
	}
	answer, err := t.post("/events", body, p.now())
	if err != nil {
		return p.fail("publish", err)
	}
	fmt.Fprintf(p.out, "%s\n", answer)
	return exitOK
}

// marshal is JSON without HTML escapes: data must arrive byte for byte.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// post sends a signed request to a path of the app's HTTP API and returns the
// body of a 200.
func (t *target) post(path string, body []byte, now time.Time) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	path = "/apps/" + t.app.ID + path
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// The path prefix is the proxy's business and not part of what is signed.
	req.URL.RawQuery = signRequest(t.app, req.Method, path, body, now)
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{
		Transport: &http.Transport{DialContext: t.dial, DisableKeepAlives: true},
		// A redirect would send the signature elsewhere, and for another path.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, t.unreachable(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", t, err)
	}
	answer = bytes.TrimSpace(answer)
	if res.StatusCode != http.StatusOK {
		return nil, t.refused(res.StatusCode, answer)
	}
	return answer, nil
}

// unreachable explains why there was no answer.
func (t *target) unreachable(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err // the URL has the signature in it
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("nothing listens on %s; is the server running there? (--url)", t)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer within %s", t, publishTimeout)
	}
	return fmt.Errorf("%s: %w", t, err)
}

// refused explains an answer that is not 200. The server's own sentence says
// what to do; only what a shell's user can get wrong here has more.
func (t *target) refused(status int, answer []byte) error {
	var e struct{ Error, Code string }
	if json.Unmarshal(answer, &e) != nil || e.Error == "" {
		const shown = 200
		if len(answer) > shown {
			answer = answer[:shown]
		}
		return fmt.Errorf("%s answered %d and not as a Pusher server does: %q", t, status, answer)
	}
	hint := ""
	switch e.Code {
	case "unknown_app":
		hint = fmt.Sprintf(" (app %q: --app-id)", t.app.ID)
	case "bad_signature":
		hint = " (--app-key and --app-secret must be those of the server)"
	}
	return fmt.Errorf("%s answered %d %s: %s%s", t, status, e.Code, e.Error, hint)
}
