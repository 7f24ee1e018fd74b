package api

import (
	"crypto/md5"
	"encoding/hex"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sdkRequest is a call of a backend library: the path and the parameters as the
// application gave them, nothing encoded.
type sdkRequest struct {
	method string
	path   string // as the library signs it
	query  map[string][]string
	body   string
}

// parameters are the query parameters of every library, those of the call included.
func (r sdkRequest) parameters(now time.Time) map[string][]string {
	all := map[string][]string{
		"auth_key": {testKey}, "auth_timestamp": {strconv.FormatInt(now.Unix(), 10)}, "auth_version": {"1.0"},
	}
	if r.body != "" {
		sum := md5.Sum([]byte(r.body))
		all["body_md5"] = []string{hex.EncodeToString(sum[:])}
	}
	for k, v := range r.query {
		all[k] = v
	}
	return all
}

func sortedKeys(m map[string][]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// php signs the values unescaped and joins those of an array with commas; it sends
// everything form-encoded, arrays as k[0], k[1], and the path as it was signed.
func (r sdkRequest) php(now time.Time) string {
	all := r.parameters(now)
	var plain, sent []string
	for _, k := range sortedKeys(all) {
		plain = append(plain, k+"="+strings.Join(all[k], ","))
		for i, v := range all[k] {
			name := k
			if len(all[k]) > 1 {
				name = k + "[" + strconv.Itoa(i) + "]"
			}
			sent = append(sent, url.QueryEscape(name)+"="+url.QueryEscape(v))
		}
	}
	signature := hmacHex(testSecret, r.method+"\n"+r.path+"\n"+strings.Join(plain, "&"))
	return raw(r.method, r.path+"?"+strings.Join(sent, "&")+"&auth_signature="+signature, r.body, "User-Agent: GuzzleHttp/7", "X-Pusher-Library: pusher-http-php 7.2.6")
}

// node signs everything unescaped and sends the query as it signed it; its HTTP
// client percent-encodes the path and what a query must not hold.
func (r sdkRequest) node(now time.Time) string {
	all := r.parameters(now)
	var pairs []string
	for _, k := range sortedKeys(all) {
		pairs = append(pairs, k+"="+strings.Join(all[k], ","))
	}
	query := strings.Join(pairs, "&")
	signature := hmacHex(testSecret, r.method+"\n"+r.path+"\n"+query)
	sent := strings.NewReplacer(" ", "%20", "#", "%23", `"`, "%22").Replace(query)
	return raw(r.method, (&url.URL{Path: r.path}).EscapedPath()+"?"+sent+"&auth_signature="+signature, r.body, "X-Pusher-Library: pusher-http-node 5.3.4", "Accept-Encoding: gzip,deflate", "Connection: close")
}

// golang sends an encoded query, sorted with the signature among the others, and
// signs the unescaped one.
func (r sdkRequest) golang(now time.Time) string {
	all := url.Values(r.parameters(now))
	plain, err := url.QueryUnescape(all.Encode())
	if err != nil {
		panic(err)
	}
	all.Set("auth_signature", hmacHex(testSecret, r.method+"\n"+r.path+"\n"+plain))
	return raw(r.method, (&url.URL{Path: r.path}).EscapedPath()+"?"+all.Encode(), r.body, "X-Pusher-Library: pusher-http-go 5.1.1")
}

// TestRequestsOfTheLibraries sends what the three libraries send, for every route.
func TestRequestsOfTheLibraries(t *testing.T) {
	event := `{"name":"App\\Events\\OrderShipped","data":"{\"id\":1,\"url\":\"https:\\/\\/a\"}","channel":"private-orders.1"}`
	for _, c := range []struct {
		name    string
		request sdkRequest
		answer  string
	}{
		{"trigger", sdkRequest{method: "POST", path: "/apps/3/events", body: event}, `{}`},
		{"batch", sdkRequest{method: "POST", path: "/apps/3/batch_events", body: `{"batch":[` + event + `]}`}, `{}`},
		{"channels", sdkRequest{method: "GET", path: "/apps/3/channels"}, `{"channels":{}}`},
		{"channels with a filter and info", sdkRequest{method: "GET", path: "/apps/3/channels", query: map[string][]string{
			"filter_by_prefix": {"presence-"}, "info": {"user_count"},
		}}, `{"channels":{}}`},
		{"channel with two attributes", sdkRequest{method: "GET", path: "/apps/3/channels/cache-a", query: map[string][]string{
			"info": {"subscription_count,cache"},
		}}, `{"occupied":false,"subscription_count":0,"cache":null}`},
		{"channel with every allowed character", sdkRequest{method: "GET", path: "/apps/3/channels/a_-=@,.;9"}, `{"occupied":false}`},
		{"users", sdkRequest{method: "GET", path: "/apps/3/channels/presence-a/users"}, `{"users":[]}`},
		{"connections", sdkRequest{method: "GET", path: "/apps/3/connections"}, `{"connections":19000}`},
		{"terminate", sdkRequest{method: "POST", path: "/apps/3/users/7/terminate_connections", body: `{}`}, `{}`},
		{"a query with spaces, quotes and letters beyond ASCII", sdkRequest{method: "GET", path: "/apps/3/channels", query: map[string][]string{
			"filter_by_prefix": {`é "1 2"`},
		}}, `{"channels":{}}`},
	} {
		for library, build := range map[string]func(sdkRequest, time.Time) string{
			"php": sdkRequest.php, "node": sdkRequest.node, "go": sdkRequest.golang,
		} {
			t.Run(c.name+"/"+library, func(t *testing.T) {
				start(t).do(build(c.request, testNow), c.request.method).want(t, 200, c.answer)
			})
		}
	}
}

// TestTerminateDecodesTheUser: the path is signed as the id was given and sent
// percent-encoded, and a library that does not encode a slash is understood, too.
func TestTerminateDecodesTheUser(t *testing.T) {
	for _, user := range []string{"7", "Ann Lee", "é@x", "a%b", "a/b", "a+b"} {
		t.Run(user, func(t *testing.T) {
			h := start(t)
			request := sdkRequest{method: "POST", path: "/apps/3/users/" + user + "/terminate_connections", body: `{}`}
			h.do(request.node(testNow), "POST").want(t, 200, `{}`)
			if got := h.router.terminated; len(got) != 1 || got[0] != user {
				t.Errorf("terminated %q, want %q", got, user)
			}
		})
	}
	t.Run("without a body", func(t *testing.T) {
		h := start(t)
		h.post("/apps/3/users/7/terminate_connections", "").want(t, 200, `{}`)
		if got := h.router.terminated; len(got) != 1 {
			t.Errorf("terminated %q", got)
		}
	})
}

// TestPHPArrayParameter: values of an array are sent one by one and signed joined.
func TestPHPArrayParameter(t *testing.T) {
	request := sdkRequest{method: "GET", path: "/apps/3/channels", query: map[string][]string{"x": {"a", "b"}}}
	plain := "auth_key=" + testKey + "&auth_timestamp=1353088179&auth_version=1.0&x=a,b"
	signature := hmacHex(testSecret, "GET\n/apps/3/channels\n"+plain)
	for _, array := range []string{"x%5B%5D=a&x%5B%5D=b", "x%5B0%5D=a&x%5B1%5D=b", "x[]=a&x[]=b"} {
		sent := "auth_key=" + testKey + "&auth_timestamp=1353088179&auth_version=1.0&" + array + "&auth_signature=" + signature
		start(t).do(raw("GET", request.path+"?"+sent, ""), "GET").want(t, 200, `{"channels":{}}`)
	}
}

// TestPublicVector sends the worked example of the protocol's documentation.
func TestPublicVector(t *testing.T) {
	body := `{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`
	target := "/apps/3/events?auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0" +
		"&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
	h := start(t)
	h.do(raw("POST", target, body), "POST").want(t, 200, `{}`)
	if got := h.router.events(); len(got) != 1 || got[0].Channels[0] != "project-3" || got[0].Data != `{"some":"data"}` {
		t.Errorf("published %+v", got)
	}
}

// TestSignatureCovers: whatever is changed on the way breaks the signature.
func TestSignatureCovers(t *testing.T) {
	good := signed("POST", eventsPath, "", event("tag", "1"), testNow)
	for name, change := range map[string]func(string) string{
		"the body":      func(s string) string { return strings.Replace(s, `"tag":1`, `"tag":2`, 1) },
		"body_md5":      func(s string) string { return strings.Replace(s, "body_md5=", "body_md5=0", 1) },
		"no body_md5":   func(s string) string { return strings.Replace(s, "&body_md5=", "&x=", 1) },
		"the timestamp": func(s string) string { return strings.Replace(s, "1353088179", "1353088180", 1) },
		"a parameter":   func(s string) string { return strings.Replace(s, "?auth_key", "?a=b&auth_key", 1) },
		"the path":      func(s string) string { return strings.Replace(s, "/events", "/batch_events", 1) },
		"the method":    func(s string) string { return strings.Replace(s, "POST /apps/3/events", "GET /apps/3/channels", 1) },
		"no signature":  func(s string) string { return strings.Replace(s, "auth_signature", "signature", 1) },
		"no key":        func(s string) string { return strings.Replace(s, "auth_key", "key", 1) },
		"no timestamp":  func(s string) string { return strings.Replace(s, "auth_timestamp", "timestamp", 1) },
		"no query":      func(s string) string { return s[:strings.Index(s, "?")] + s[strings.Index(s, " HTTP"):] },
		"the signature": func(s string) string {
			return strings.Replace(s, "auth_signature=", "auth_signature=0", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			changed := change(good)
			if changed == good {
				t.Fatal("nothing was changed")
			}
			h := start(t)
			if got := h.do(changed, "POST"); got.status != 401 || !strings.Contains(got.body, `"code":"bad_signature"`) {
				t.Errorf("got %d %s", got.status, got.body)
			}
			if n := len(h.router.events()); n != 0 {
				t.Errorf("published %d events", n)
			}
		})
	}
}

// TestCapturedRequestExpires: the same bytes pass inside the window, at its edges
// too, and are stale beyond it, before and after.
func TestCapturedRequestExpires(t *testing.T) {
	h := start(t)
	captured := signed("POST", eventsPath, "", event("tag", "1"), testNow)
	for _, c := range []struct {
		away  time.Duration
		fresh bool
	}{{0, true}, {600 * time.Second, true}, {601 * time.Second, false}, {-600 * time.Second, true}, {-601 * time.Second, false}, {24 * time.Hour, false}} {
		h.clock.Advance(c.away)
		got := h.do(captured, "POST")
		h.clock.Advance(-c.away)
		if fresh := got.status == 200; fresh != c.fresh {
			t.Errorf("%v away: %d %s", c.away, got.status, got.body)
		}
		if !c.fresh && !strings.Contains(got.body, `"code":"stale_timestamp"`) {
			t.Errorf("%v away: %s", c.away, got.body)
		}
	}
}
