package hftest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Response is an answer of the HTTP API, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// Call makes a signed request: Call("POST", "/events", nil, body). path is what
// follows /apps/{id}; query may be nil; body is marshalled unless it is a
// string, and "" sends none.
func (e *Edge) Call(method, path string, query url.Values, body any) Response {
	e.t.Helper()
	r, err := e.Ask(http.DefaultClient, method, path, query, body)
	if err != nil {
		e.t.Fatal(err)
	}
	return r
}

// Request makes a request as given.
func (e *Edge) Request(method, target, body string) Response {
	e.t.Helper()
	r, err := e.request(http.DefaultClient, method, target, body)
	if err != nil {
		e.t.Fatal(err)
	}
	return r
}

// Ask is Call for whoever expects that the server may be away: it may be called by
// any goroutine, and returns the error.
func (e *Edge) Ask(client *http.Client, method, path string, query url.Values, body any) (Response, error) {
	text, ok := body.(string)
	if !ok && body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return Response{}, err
		}
		text = string(b)
	}
	full := "/apps/" + AppID + path
	signed := Sign(AppKey, AppSecret, method, full, query, text, time.Now())
	return e.request(client, method, full+"?"+signed.Encode(), text)
}

func (e *Edge) request(client *http.Client, method, target, body string) (Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+e.Addr+target, strings.NewReader(body))
	if err != nil {
		return Response{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return Response{}, err
	}
	return Response{Status: resp.StatusCode, Header: resp.Header, Body: string(bytes.TrimSpace(b))}, nil
}

// Publish publishes one event and expects it to be taken.
func (e *Edge) Publish(channel, event, data string) {
	e.t.Helper()
	body := map[string]any{"name": event, "data": data, "channels": []string{channel}}
	if r := e.Call(http.MethodPost, "/events", nil, body); r.Status != http.StatusOK {
		e.t.Fatalf("publish %s to %s: %d %s", event, channel, r.Status, r.Body)
	}
}

// Sign returns the query of a signed request: the given one with auth_key,
// auth_timestamp, auth_version, body_md5 and auth_signature.
//
// Signed are method, path and the sorted, unescaped query, a line each
// (HMAC-SHA256, lower hex).
func Sign(key, secret, method, path string, query url.Values, body string, now time.Time) url.Values {
	signed := url.Values{}
	for k, v := range query {
		signed[k] = v
	}
	signed.Set("auth_key", key)
	signed.Set("auth_timestamp", strconv.FormatInt(now.Unix(), 10))
	signed.Set("auth_version", "1.0")
	if body != "" {
		sum := md5.Sum([]byte(body))
		signed.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	names := make([]string, 0, len(signed))
	for k := range signed {
		names = append(names, k)
	}
	sort.Strings(names)
	pairs := make([]string, len(names))
	for i, k := range names {
		pairs[i] = strings.ToLower(k) + "=" + signed.Get(k)
	}
	signed.Set("auth_signature", hmacHex(secret, method+"\n"+path+"\n"+strings.Join(pairs, "&")))
	return signed
}

func hmacHex(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}
