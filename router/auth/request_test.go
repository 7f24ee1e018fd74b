package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// When the vectors were made: those of the documentation and of the PHP and Node
// SDKs at its example's time, those of the Go SDK on another day.
var (
	exampleTime = time.Unix(1353088179, 0)
	goTime      = time.Unix(1795510343, 0)
)

const window = 600 * time.Second

// vector is a request as it came over the wire.
type vector struct {
	name, method, target, body string
	now                        time.Time
}

func (v vector) request() Request {
	path, query, _ := strings.Cut(v.target, "?")
	return Request{Method: v.method, Path: path, RawQuery: query, Body: []byte(v.body)}
}

const auth1353 = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0"

// vectors are requests as each SDK sends them.
var vectors = []vector{
	{"published example", "POST", "/apps/3/events?" + auth1353 + "&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
		`{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`, exampleTime},

	// PHP encodes its query and signs the values as they were before.
	{"PHP channels", "GET", "/apps/3/channels?" + auth1353 + "&filter_by_prefix=presence-&info=user_count&auth_signature=16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291", "", exampleTime},
	{"PHP escapes", "GET", "/apps/3/channels?" + auth1353 + "&filter_by_prefix=private-a%40b%3Dc%2Cd%3Be&info=user_count%2Csubscription_count&auth_signature=853412cc1b036629199cac865a3a7a1bd69e44914f2b6983ccd3a9550574dc7b", "", exampleTime},
	{"PHP escapes of anything", "GET", "/apps/3/channels?" + auth1353 + "&filter_by_prefix=a%20b%2Bc%2541%26x%3D%C3%A9&auth_signature=84d7be15212cc77ea139306526ebc1a4219f05038fb13d7ce0e0125bc67b2da2", "", exampleTime},
	{"PHP form encoding", "GET", "/apps/3/channels?" + auth1353 + "&filter_by_prefix=a+b%2Bc%2541%26x%3D%C3%A9&auth_signature=84d7be15212cc77ea139306526ebc1a4219f05038fb13d7ce0e0125bc67b2da2", "", exampleTime},
	{"PHP array", "GET", "/apps/3/channels/presence-a?" + auth1353 + "&info%5B0%5D=user_count&info%5B1%5D=subscription_count&auth_signature=cb95e8fdce356a7c0822801195ea86a96b35fda672140e65120a4cc3568caf2b", "", exampleTime},
	{"array with empty brackets", "GET", "/apps/3/channels/presence-a?" + auth1353 + "&info[]=user_count&info[]=subscription_count&auth_signature=cb95e8fdce356a7c0822801195ea86a96b35fda672140e65120a4cc3568caf2b", "", exampleTime},

	// Node does not encode its query. It signs the plain path, which its HTTP client
	// then encodes.
	{"Node trigger", "POST", "/apps/3/events?" + auth1353 + "&body_md5=45ff0dd3fcd388e766ebeec554920e41&auth_signature=3afbfced4119aeb18b1b441f623f438db238170e007bb8dda50203ad09031632",
		`{"name":"foo","data":"{\"some\":\"data\"}","channels":["project-3"]}`, exampleTime},
	{"Node channels", "GET", "/apps/3/channels?" + auth1353 + "&filter_by_prefix=presence-&info=user_count&auth_signature=16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291", "", exampleTime},
	{"Node terminate", "POST", "/apps/3/users/user%207/%C3%BC+/terminate_connections?" + auth1353 + "&body_md5=99914b932bd37a50b983c5e7c90ae93b&auth_signature=cfc4489cf38f4213382a7246383be750bdbe4e354bf8286942801d8e333becbf", "{}", exampleTime},

	// Go sorts all parameters, the signature too, and encodes nothing.
	{"Go trigger", "POST", "/apps/3/events?auth_key=278d425bdf160c739803&auth_signature=45b11f4db6b1302f0c03cec42de9f89351810941c14371dc1de29c04537a8d6a&auth_timestamp=1795510343&auth_version=1.0&body_md5=fb46e511627c26ab33a0a20880c10de7",
		`{"channels":["project-3"],"data":"{\"some\":\"data\"}","name":"foo"}`, goTime},
	{"Go channels", "GET", "/apps/3/channels?auth_key=278d425bdf160c739803&auth_signature=b9e2748e5805d6b5dea1353a786312867a87e34c21079a35cfb27fbc0ae98d1f&auth_timestamp=1795510343&auth_version=1.0&filter_by_prefix=presence-&info=user_count", "", goTime},
	{"Go plain plus and other marks", "GET", "/apps/3/channels?auth_key=278d425bdf160c739803&auth_signature=92b1e0c059cb954fcd2575d3389ab5c599f8469281886cea52a30e86c7d4fe9e&auth_timestamp=1795510343&auth_version=1.0&filter_by_prefix=a@b=c,d;e+f&info=user_count", "", goTime},
	{"Go users", "GET", "/apps/3/channels/presence-a@b/users?auth_key=278d425bdf160c739803&auth_signature=b787c142656d8a446792320ebee1d470800ac77335fa325215572c12730fc00c&auth_timestamp=1795510343&auth_version=1.0", "", goTime},
}

func TestSDKs(t *testing.T) {
	c := testCredentials()
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			r := v.request()
			if err := c.VerifyRequest(r, v.now, window); err != nil {
				t.Fatal(err)
			}
			other := r
			other.Method += "X"
			if err := c.VerifyRequest(other, v.now, window); !errors.Is(err, ErrSignature) {
				t.Errorf("another method: %v", err)
			}
			other = r
			other.Path = "/apps/4" + strings.TrimPrefix(r.Path, "/apps/3")
			if err := c.VerifyRequest(other, v.now, window); !errors.Is(err, ErrSignature) {
				t.Errorf("another path: %v", err)
			}
			other = r
			other.RawQuery += "&more=1"
			if err := c.VerifyRequest(other, v.now, window); !errors.Is(err, ErrSignature) {
				t.Errorf("another parameter: %v", err)
			}
			if err := NewCredentials(testKey, "another").VerifyRequest(r, v.now, window); !errors.Is(err, ErrSignature) {
				t.Errorf("another secret: %v", err)
			}
			if err := NewCredentials("another", testSecret).VerifyRequest(r, v.now, window); !errors.Is(err, ErrKey) {
				t.Errorf("another key: %v", err)
			}
			if err := c.VerifyRequest(r, v.now.Add(window+time.Second), window); !errors.Is(err, ErrStale) {
				t.Errorf("later: %v", err)
			}
		})
	}
}

// signed makes a request whose query is signed as it stands, in the order given.
func signed(method, path, query, body string) Request {
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		if !strings.HasPrefix(pair, "auth_signature=") {
			pairs = append(pairs, pair)
		}
	}
	slices.Sort(pairs)
	return Request{Method: method, Path: path, Body: []byte(body),
		RawQuery: query + "&auth_signature=" + hmacHex(testSecret, method+"\n"+path+"\n"+strings.Join(pairs, "&"))}
}

func hmacHex(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestVerifyRequestRefuses(t *testing.T) {
	const key, at, version1 = "auth_key=" + testKey, "auth_timestamp=1353088179", "auth_version=1.0"
	bodyMD5 := func(body string) string { return fmt.Sprintf("body_md5=%x", md5.Sum([]byte(body))) }
	get := func(params ...string) Request {
		return signed("GET", "/apps/3/channels", strings.Join(params, "&"), "")
	}
	post := func(body string, params ...string) Request {
		return signed("POST", "/apps/3/events", strings.Join(params, "&"), body)
	}
	unsigned := get(key, at, version1)
	unsigned.RawQuery, _, _ = strings.Cut(unsigned.RawQuery, "&auth_signature")
	for _, c := range []struct {
		name string
		r    Request
		is   error
		text string
	}{
		{"good", get(key, at, version1), nil, ""},
		{"good with a body", post("{}", key, at, version1, bodyMD5("{}")), nil, ""},
		{"upper case digits", post("{}", key, at, version1, "body_md5=99914B932BD37A50B983C5E7C90AE93B"), nil, ""},
		{"body_md5 of an empty body", post("", key, at, version1, bodyMD5("")), nil, ""},

		{"no query", Request{Method: "GET", Path: "/apps/3/channels"}, ErrMissing, "auth: auth_key is missing"},
		{"no key", get(at, version1), ErrMissing, "auth: auth_key is missing"},
		{"no timestamp", get(key, version1), ErrMissing, "auth: auth_timestamp is missing"},
		{"no version", get(key, at), ErrMissing, "auth: auth_version is missing"},
		{"no signature", unsigned, ErrMissing, "auth: auth_signature is missing"},
		{"no body_md5", post("{}", key, at, version1), ErrMissing, "auth: body_md5 is missing"},
		{"key twice", get(key, key, at, version1), ErrMalformed, "auth: auth_key is given twice"},
		{"timestamp twice", get(key, at, "auth_timestamp=1353088180", version1), ErrMalformed, "auth: auth_timestamp is given twice"},
		{"timestamp twice, in another case", get(key, at, "AUTH_TIMESTAMP=1353088180", version1), ErrMalformed, "auth: auth_timestamp is given twice"},
		{"timestamp twice, by an escape", get(key, at, "auth%5Ftimestamp=1353088180", version1), ErrMalformed, "auth: auth_timestamp is given twice"},
		{"signature twice", get(key, at, version1, "auth_signature=00"), ErrMalformed, "auth: auth_signature is given twice"},
		{"body_md5 twice", post("{}", key, at, version1, bodyMD5("{}"), bodyMD5("")), ErrMalformed, "auth: body_md5 is given twice"},
		{"another version", get(key, at, "auth_version=2.0"), ErrMalformed, "auth: auth_version must be 1.0"},
		{"parameters hidden in the version", get(key, at, "auth_version=1.0%26info%3Dx"), ErrMalformed, "auth: auth_version must be 1.0"},
		{"key as an array", get("auth_key[]="+testKey, at, version1), ErrMissing, "auth: auth_key is missing"},
		{"timestamp with a fraction", get(key, "auth_timestamp=1353088179.5", version1), ErrMalformed, "auth: auth_timestamp must be seconds since 1970"},
		{"negative timestamp", get(key, "auth_timestamp=-1", version1), ErrMalformed, "auth: auth_timestamp must be seconds since 1970"},
		{"empty timestamp", get(key, "auth_timestamp=", version1), ErrMalformed, "auth: auth_timestamp must be seconds since 1970"},
		{"endless timestamp", get(key, "auth_timestamp="+strings.Repeat("1", 300), version1), ErrMalformed, "auth: auth_timestamp must be seconds since 1970"},
		{"timestamp in milliseconds", get(key, "auth_timestamp=1353088179000", version1), ErrMalformed, "auth: auth_timestamp must be seconds since 1970"},
		{"too many parameters", get(key, at, version1, strings.Repeat("a=1&", 300)), ErrMalformed, "auth: the query has too many parameters"},
		{"another key", get("auth_key=other", at, version1), ErrKey, ErrKey.Error()},
		{"old", get(key, "auth_timestamp=1353087578", version1), ErrStale, ErrStale.Error()},
		{"from the future", get(key, "auth_timestamp=1353088780", version1), ErrStale, ErrStale.Error()},
		{"another body", post("{ }", key, at, version1, bodyMD5("{}")), ErrBody, ErrBody.Error()},
		{"body_md5 cut short", post("{}", key, at, version1, "body_md5=99914b"), ErrBody, ErrBody.Error()},
		{"body_md5 not hexadecimal", post("{}", key, at, version1, "body_md5="+strings.Repeat("z", 32)), ErrBody, ErrBody.Error()},
		{"body_md5 without a body", post("", key, at, version1, bodyMD5("{}")), ErrBody, ErrBody.Error()},
		{"empty body_md5", post("{}", key, at, version1, "body_md5="), ErrBody, ErrBody.Error()},
		{"what is unsigned says nothing of its age", Request{Method: "GET", Path: "/", RawQuery: key + "&auth_timestamp=1&" + version1 + "&auth_signature=" + strings.Repeat("0", 64)}, ErrSignature, ErrSignature.Error()},
		{"signature cut short", Request{Method: "GET", Path: "/", RawQuery: key + "&" + at + "&" + version1 + "&auth_signature=00"}, ErrSignature, ErrSignature.Error()},
		{"signature not hexadecimal", Request{Method: "GET", Path: "/", RawQuery: key + "&" + at + "&" + version1 + "&auth_signature=" + strings.Repeat("g", 64)}, ErrSignature, ErrSignature.Error()},
		{"method in another case", Request{Method: "get", Path: "/apps/3/channels", RawQuery: get(key, at, version1).RawQuery}, ErrSignature, ErrSignature.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := testCredentials().VerifyRequest(c.r, exampleTime, window)
			if !errors.Is(err, c.is) || err != nil && err.Error() != c.text {
				t.Errorf("got %v, want %s", err, c.text)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	c := testCredentials()
	r := vectors[0].request()
	for _, v := range []struct {
		away time.Duration
		ok   bool
	}{
		{0, true},
		{600 * time.Second, true},
		{-600 * time.Second, true},
		{601 * time.Second, false},
		{-601 * time.Second, false},
		{24 * time.Hour, false},
	} {
		if err := c.VerifyRequest(r, exampleTime.Add(v.away), window); (err == nil) != v.ok {
			t.Errorf("%v away: %v", v.away, err)
		}
	}
}

// TestPath: the path may have been signed as it was sent, or decoded.
func TestPath(t *testing.T) {
	c := testCredentials()
	for _, p := range []struct {
		name, sent, signed string
		ok                 bool
	}{
		{"plain", "/apps/3/users/7/terminate_connections", "/apps/3/users/7/terminate_connections", true},
		{"signed decoded", "/apps/3/users/a%20b%2Fc/terminate_connections", "/apps/3/users/a b/c/terminate_connections", true},
		{"signed as sent", "/apps/3/users/a%20b%2Fc/terminate_connections", "/apps/3/users/a%20b%2Fc/terminate_connections", true},
		{"a plus in a path is a plus", "/apps/3/users/a+b/x", "/apps/3/users/a+b/x", true},
		{"a percent sign alone", "/apps/3/users/100%/x", "/apps/3/users/100%/x", true},
		{"decoded once only", "/apps/3/users/%2541/x", "/apps/3/users/A/x", false},
		{"half decoded", "/apps/3/users/%41%42/x", "/apps/3/users/A%42/x", false},
	} {
		t.Run(p.name, func(t *testing.T) {
			r := Request{Method: "GET", Path: p.sent, RawQuery: auth1353 + "&auth_signature=" + hmacHex(testSecret, "GET\n"+p.signed+"\n"+auth1353)}
			if err := c.VerifyRequest(r, exampleTime, window); (err == nil) != p.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestCanonicalQuery pins the text that is signed for a query.
func TestCanonicalQuery(t *testing.T) {
	for _, c := range []struct{ name, query, want string }{
		{"empty", "", ""},
		{"sorted by name", "c=3&a=1&b=2", "a=1&b=2&c=3"},
		{"names in lower case, values as they are", "Filter_By=ABC", "filter_by=ABC"},
		{"escaped name", "%41b=1", "ab=1"},
		{"escapes resolved", "a=%2Fx%3D%26", "a=/x=&"},
		{"no escape", "a=100%&b=%zz&c=%4", "a=100%&b=%zz&c=%4"},
		{"plus", "a=b+c", "a=b c"},
		{"equals sign in a value", "a=b=c", "a=b=c"},
		{"no value", "a&b=", "a=&b="},
		{"no name", "=1", "=1"},
		{"empty pairs", "&&a=1&&", "a=1"},
		{"signature left out", "a=1&auth_signature=ff&b=2", "a=1&b=2"},
		{"signature left out in any case", "Auth_Signature=ff&b=2", "b=2"},
		{"same name keeps its order", "a=2&b=0&a=1", "a=2&a=1&b=0"},
		{"array", "k[]=b&k[]=a", "k=b,a"},
		{"array with indices", "k[0]=b&k[1]=a&k[10]=c", "k=b,a,c"},
		{"array among others", "k[]=b&j=1&k[]=a&l=2", "j=1&k=b,a&l=2"},
		{"array of one", "k[]=a", "k=a"},
		{"array beside a value", "k[]=a&k=b", "k=a&k=b"},
		{"brackets alone", "[]=a", "[]=a"},
		{"brackets with a word", "k[x]=a", "k[x]=a"},
		{"brackets within", "k[]x=a", "k[]x=a"},
		{"a prefix sorts first", "ab=1&a=2", "a=2&ab=1"},
		{"bytewise", "a_=1&a0=2&a=3&aa=4", "a=3&a0=2&a_=1&aa=4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p params
			if err := p.read(c.query, true); err != nil {
				t.Fatal(err)
			}
			if got := string(p.appendSigned(nil)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzCanonicalQuery compares with a slow reading of the same rules.
func FuzzCanonicalQuery(f *testing.F) {
	for _, s := range []string{"a=1&B=2", "k[]=b&k[0]=a&k=c", "a=%41%4&=x&%=&+=+", "auth_signature=1&AUTH_KEY=2&auth_key=3", "a&&b;c=d"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, query string, plusIsSpace bool) {
		var p params
		if p.read(query, plusIsSpace) != nil {
			if strings.Count(query, "&") < maxParams {
				t.Fatalf("read(%q) refuses", query)
			}
			return
		}
		got := string(p.appendSigned(nil))
		if want := slowCanonical(query, plusIsSpace); got != want {
			t.Fatalf("%q is signed as\n%q, want\n%q", query, got, want)
		}
		if values, err := url.ParseQuery(query); err == nil && plusIsSpace && !strings.ContainsAny(slowDecode(query, true), "[]") {
			for name, all := range values {
				if name = lowerASCII(name); name != "auth_signature" && !strings.Contains(got, name+"="+all[0]) {
					t.Fatalf("%q is signed as %q, without %q=%q", query, got, name, all[0])
				}
			}
		}
	})
}

// slowCanonical is the signed form of a query, written for reading.
func slowCanonical(query string, plusIsSpace bool) string {
	type pair struct{ name, text string }
	var pairs []pair
	arrays := map[string]bool{}
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, value := lowerASCII(slowDecode(rawName, plusIsSpace)), slowDecode(rawValue, plusIsSpace)
		base, isArray := name, false
		if open := strings.LastIndexByte(name, '['); open > 0 && strings.HasSuffix(name, "]") && strings.Trim(name[open+1:len(name)-1], "0123456789") == "" {
			base, isArray = name[:open], true
		}
		if base == "auth_signature" && !isArray {
			continue
		}
		pairs = append(pairs, pair{base, value})
		arrays[fmt.Sprint(len(pairs)-1)] = isArray
	}
	order := make([]int, len(pairs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(pairs[a].name, pairs[b].name) })
	var out strings.Builder
	for n, i := range order {
		isArray := arrays[fmt.Sprint(i)]
		if n > 0 {
			before := order[n-1]
			if isArray && arrays[fmt.Sprint(before)] && pairs[before].name == pairs[i].name {
				out.WriteString("," + pairs[i].text)
				continue
			}
			out.WriteByte('&')
		}
		out.WriteString(pairs[i].name + "=" + pairs[i].text)
	}
	return out.String()
}

func slowDecode(s string, plusIsSpace bool) string {
	var out strings.Builder
	for s != "" {
		if len(s) >= 3 && s[0] == '%' {
			if b, err := hex.DecodeString(s[1:3]); err == nil {
				out.Write(b)
				s = s[3:]
				continue
			}
		}
		if s[0] == '+' && plusIsSpace {
			out.WriteByte(' ')
		} else {
			out.WriteByte(s[0])
		}
		s = s[1:]
	}
	return out.String()
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// FuzzVerifyRequest: what is let in bears, by a slow reading, a signature of the
// secret; and nothing is let in under another secret.
func FuzzVerifyRequest(f *testing.F) {
	for _, v := range vectors {
		r := v.request()
		f.Add(r.Method, r.Path, r.RawQuery, v.body)
	}
	c := testCredentials()
	other := NewCredentials(testKey, "another secret")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r := Request{Method: method, Path: path, RawQuery: query, Body: []byte(body)}
		for _, now := range []time.Time{exampleTime, goTime} {
			if other.VerifyRequest(r, now, window) == nil || c.VerifyRequest(r, now, window) == nil && !slowSigned(r) {
				t.Fatalf("%+v is taken for signed", r)
			}
		}
	})
}

// slowSigned tells whether any of the texts that may have been signed has the
// signature that stands somewhere in the query.
func slowSigned(r Request) bool {
	for _, plusIsSpace := range []bool{true, false} {
		for _, path := range []string{r.Path, slowDecode(r.Path, false)} {
			signature := hmacHex(testSecret, r.Method+"\n"+path+"\n"+slowCanonical(r.RawQuery, plusIsSpace))
			if strings.Contains(strings.ToLower(slowDecode(r.RawQuery, false)), signature) {
				return true
			}
		}
	}
	return false
}

func TestSignRequest(t *testing.T) {
	c := testCredentials()
	for _, r := range []Request{
		{Method: "POST", Path: "/apps/3/events", Body: []byte(`{"name":"x"}`)},
		{Method: "GET", Path: "/apps/3/channels", RawQuery: "filter_by_prefix=a%20b%2Bc&info=user_count%2Ccache"},
		{Method: "GET", Path: "/apps/3/channels", RawQuery: "filter_by_prefix=a+b"},
		{Method: "GET", Path: "/apps/3/channels", RawQuery: "info%5B%5D=a&info%5B%5D=b"},
		{Method: "POST", Path: "/apps/3/users/a%20b%2F%C3%BC/terminate_connections", Body: []byte("{}")},
	} {
		r.RawQuery = c.SignRequest(r, exampleTime)
		if err := c.VerifyRequest(r, exampleTime, window); err != nil {
			t.Errorf("%s?%s: %v", r.Path, r.RawQuery, err)
		}
	}
	t.Log("the published example, byte for byte")
	v := vectors[0].request()
	want := v.RawQuery
	v.RawQuery = ""
	if got := c.SignRequest(v, exampleTime); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	t.Log("a key that needs escapes")
	odd := NewCredentials("k+e y&", "secret")
	r := Request{Method: "GET", Path: "/apps/3/channels"}
	r.RawQuery = odd.SignRequest(r, exampleTime)
	if err := odd.VerifyRequest(r, exampleTime, window); err != nil {
		t.Error(err)
	}
	t.Log("and the same key sent as it is")
	plain := "auth_key=k+e&auth_timestamp=1353088179&auth_version=1.0"
	r.RawQuery = plain + "&auth_signature=" + hmacHex("secret", "GET\n/apps/3/channels\n"+plain)
	if err := NewCredentials("k+e", "secret").VerifyRequest(r, exampleTime, window); err != nil {
		t.Error(err)
	}
}

// TestVerifyRequestSameWork: a foreign key costs as many signatures as a foreign
// secret, so the time tells nothing of either.
func TestVerifyRequestSameWork(t *testing.T) {
	for _, v := range vectors {
		r := v.request()
		foreignKey, foreignSecret := NewCredentials("another", "another"), NewCredentials(testKey, "another")
		count := func(c *Credentials) (n int) {
			c.signers.New = func() any { return &signer{mac: counted{hmac.New(sha256.New, []byte(c.secret)), &n}} }
			if c.VerifyRequest(r, v.now, window) == nil {
				t.Fatal("taken")
			}
			return n
		}
		if a, b := count(foreignKey), count(foreignSecret); a != b || a == 0 {
			t.Errorf("%s: %d signatures for a foreign key, %d for a foreign secret", v.name, a, b)
		}
	}
}

// counted counts the signatures that are computed.
type counted struct {
	hash.Hash
	n *int
}

func (c counted) Sum(b []byte) []byte {
	*c.n++
	return c.Hash.Sum(b)
}

func TestVerifyRequestAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("not counted: the race detector makes pools forget")
		return
	}
	c := testCredentials()
	var requests []Request
	for _, v := range vectors {
		requests = append(requests, v.request())
	}
	stale := exampleTime.Add(time.Hour)
	if n := testing.AllocsPerRun(200, func() {
		for i := range requests {
			_ = c.VerifyRequest(requests[i], exampleTime, window)
			_ = c.VerifyRequest(requests[i], stale, window)
		}
	}); n > 0 {
		t.Errorf("verifying requests allocates %v times", n)
	}
}

func BenchmarkVerifyRequest(b *testing.B) {
	c := testCredentials()
	for _, v := range []vector{vectors[0], vectors[2], vectors[9]} {
		b.Run(v.name, func(b *testing.B) {
			r := v.request()
			b.ReportAllocs()
			for b.Loop() {
				if err := c.VerifyRequest(r, v.now, window); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
