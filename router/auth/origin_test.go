package auth

import (
	"net/url"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	const one, wild = "https://a.example", "https://*.a.example"
	for _, c := range []struct {
		name, entries, origin string
		want                  bool
	}{
		{"exact", one, "https://a.example", true},
		{"second of several", "http://x.example " + one, "https://a.example", true},
		{"none configured", "", "https://a.example", false},
		{"no Origin header", one, "", true},
		{"no Origin header, none configured", "", "", true},

		{"star", "*", "https://anything.example:8443", true},
		{"star and null", "*", "null", true},
		{"star and garbage", "*", "\x00", true},
		{"star beside others", one + " *", "http://b.example", true},

		{"null", one, "null", false},
		{"NULL", one, "NULL", false},
		{"another scheme", one, "http://a.example", false},
		{"ws is not https", one, "wss://a.example", false},
		{"another host", one, "https://b.example", false},
		{"subdomain", one, "https://x.a.example", false},
		{"parent", "https://x.a.example", "https://a.example", false},
		{"prefix trick", one, "https://evil-a.example", false},
		{"suffix trick", one, "https://a.example.evil.example", false},
		{"suffix without dot", one, "https://a.exampleevil", false},
		{"upper case scheme", one, "HTTPS://a.example", true},
		{"upper case host", one, "https://A.EXAMPLE", true},
		{"upper case entry", "HTTPS://A.Example", "https://a.example", true},
		{"explicit default port", one, "https://a.example:443", true},
		{"explicit default port in the entry", "https://a.example:443", "https://a.example", true},
		{"explicit default port of http", "http://a.example", "http://a.example:80", true},
		{"default port of the other scheme", one, "https://a.example:80", false},
		{"another port", one, "https://a.example:8443", false},
		{"port of the entry", "https://a.example:8443", "https://a.example:8443", true},
		{"port of the entry left out", "https://a.example:8443", "https://a.example", false},
		{"port with leading zeros", one, "https://a.example:0443", true},
		{"port zero", one, "https://a.example:0", false},
		{"port too large", one, "https://a.example:65979", false}, // 443 + 65,536
		{"port with a sign", one, "https://a.example:+443", false},
		{"port with a blank", one, "https://a.example:443 ", false},
		{"empty port", one, "https://a.example:", false},
		{"localhost with port", "http://localhost:3000", "http://localhost:3000", true},
		{"localhost with another port", "http://localhost:3000", "http://localhost:3001", false},
		{"user", one, "https://user@a.example", false},
		{"user trick", one, "https://a.example@evil.example", false},
		{"user and password trick", one, "https://a.example:443@evil.example", false},
		{"path", one, "https://a.example/", false},
		{"path trick", one, "https://evil.example/https://a.example", false},
		{"query", one, "https://a.example?x", false},
		{"fragment trick", one, "https://evil.example#a.example", false},
		{"backslash trick", one, `https://evil.example\.a.example`, false},
		{"trailing dot", one, "https://a.example.", false},
		{"trailing dot in the entry", "https://a.example.", "https://a.example.", true},
		{"trailing dot only in the entry", "https://a.example.", "https://a.example", false},
		{"empty label", one, "https://a..example", false},
		{"no host", one, "https://", false},
		{"no scheme", one, "a.example", false},
		{"scheme alone", one, "https:", false},
		{"one slash", one, "https:/a.example", false},
		{"blank in front", one, " https://a.example", false},
		{"blank behind", one, "https://a.example ", false},
		{"list of origins", one, "https://a.example https://evil.example", false},
		{"comma", one, "https://a.example,https://evil.example", false},
		{"NUL trick", one, "https://a.example\x00.evil.example", false},
		{"percent-encoded host", one, "https://%61.example", false},
		{"IDN in ASCII", "https://xn--bcher-kva.example", "https://xn--bcher-kva.example", true},
		{"IDN in ASCII, upper case", "https://xn--bcher-kva.example", "https://XN--BCHER-KVA.example", true},
		{"IDN as letters", "https://xn--bcher-kva.example", "https://b\u00fccher.example", false},
		{"look-alike letter", one, "https://\u0430.example", false},
		{"dot that is none", one, "https://a\u3002example", false},
		{"Kelvin sign is no k", "https://k.example", "https://\u212a.example", false},
		{"star in the header", one, "*", false},

		{"wildcard", wild, "https://x.a.example", true},
		{"wildcard, upper case", wild, "https://X.A.Example", true},
		{"wildcard, default port", wild, "https://x.a.example:443", true},
		{"wildcard, another port", wild, "https://x.a.example:8443", false},
		{"wildcard with port", "https://*.a.example:8443", "https://x.a.example:8443", true},
		{"wildcard, another scheme", wild, "http://x.a.example", false},
		{"wildcard, no label", wild, "https://a.example", false},
		{"wildcard, empty label", wild, "https://.a.example", false},
		{"wildcard, two labels", wild, "https://x.y.a.example", false},
		{"wildcard, label without its dot", wild, "https://xa.example", false},
		{"wildcard, evil suffix", wild, "https://x.evil-a.example", false},
		{"wildcard, suffix behind", wild, "https://x.a.example.evil.example", false},
		{"wildcard, trailing dot", wild, "https://x.a.example.", false},
		{"wildcard, star in the header", wild, "https://*.a.example", false},

		{"IPv4", "http://192.0.2.1:8080", "http://192.0.2.1:8080", true},
		{"another IPv4", "http://192.0.2.1", "http://192.0.2.10", false},
		{"IPv6", "http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080", true},
		{"IPv6 without port", "http://[::1]", "http://[::1]:80", true},
		{"IPv6 written otherwise", "http://[2001:DB8:0:0::1]", "http://[2001:db8::1]", true},
		{"another IPv6", "http://[::1]", "http://[::2]", false},
		{"IPv6 with zone", "http://[fe80::1]", "http://[fe80::1%25eth0]", false},
		{"IPv6 without its bracket", "http://[::1]", "http://[::1", false},
		{"IPv6 without brackets", "http://[::1]", "http://::1", false},
		{"IPv4 in brackets", "http://192.0.2.1", "http://[192.0.2.1]", false},
		{"IPv6 with text behind", "http://[::1]", "http://[::1]evil.example", false},

		{"application scheme", "capacitor://localhost", "capacitor://localhost", true},
		{"scheme with digits and marks", "chrome-extension://abcdef", "chrome-extension://abcdef", true},
		{"scheme that begins with a digit", one, "1https://a.example", false},
		{"port of a scheme without default", "capacitor://localhost", "capacitor://localhost:80", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := CompileOrigins(strings.Fields(c.entries))
			if err != nil {
				t.Fatal(err)
			}
			if got := o.Allowed([]byte(c.origin)); got != c.want {
				t.Errorf("%q with %q: %v, want %v", c.origin, c.entries, got, c.want)
			}
		})
	}
}

func TestCompileOriginsRefuses(t *testing.T) {
	for _, c := range []struct{ name, entry, want string }{
		{"empty", "", "scheme"},
		{"host alone", "a.example", "scheme"},
		{"null", "null", "scheme"},
		{"wildcard without scheme", "*.a.example", "scheme"},
		{"path", "https://a.example/", "without path"},
		{"user", "https://user@a.example", "without path or user"},
		{"IDN as letters", "https://b\u00fccher.example", "ASCII"},
		{"star as host", "https://*", "scheme://*.host"},
		{"star within", "https://a.*.example", "scheme://*.host"},
		{"two stars", "https://*.*.example", "scheme://*.host"},
		{"star in a label", "https://x*.example", "scheme://*.host"},
		{"star as port", "http://localhost:*", "scheme://host:port"},
		{"star as scheme", "*://a.example", "scheme://host"},
		{"star before nothing", "https://*.", "scheme://*.host"},
		{"star before IPv4", "https://*.192.0.2.1", "no subdomains"},
		{"star before IPv6", "https://*.[::1]", "no subdomains"},
		{"port too large", "https://a.example:65536", "scheme://host:port"},
		{"blank", " https://a.example", "scheme://host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := CompileOrigins([]string{"https://good.example", c.entry})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: got %v, want something about %q", c.entry, err, c.want)
			}
		})
	}
	t.Run("all faults at once", func(t *testing.T) {
		_, err := CompileOrigins([]string{"one", "two"})
		if err == nil || !strings.Contains(err.Error(), `"one"`) || !strings.Contains(err.Error(), `"two"`) {
			t.Errorf("got %v", err)
		}
	})
}

// FuzzOrigins: what is admitted by exact entries is, by another reader, a URL of
// just that scheme, host and port.
func FuzzOrigins(f *testing.F) {
	for _, s := range []string{
		"https://a.example", "https://A.example:443", "https://x.a.example", "https://a.example@evil.example", "null", "https://[2001:db8::1]:8080",
		"https://a.example.evil.example", "https://evil.example/a.example", "https://x.y.a.example", "http://localhost:3000",
	} {
		f.Add(s)
	}
	o, err := CompileOrigins([]string{"https://a.example", "https://*.a.example", "http://localhost:3000", "https://[2001:db8::1]:8080"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		if origin == "" || !o.Allowed([]byte(origin)) {
			return
		}
		u, err := url.Parse(origin)
		if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is admitted", origin)
		}
		host, port := strings.ToLower(u.Hostname()), strings.TrimLeft(u.Port(), "0")
		label, isWild := strings.CutSuffix(host, ".a.example")
		https := u.Scheme == "https" && (port == "" || port == "443")
		switch {
		case https && host == "a.example":
		case https && isWild && label != "" && !strings.Contains(label, "."):
		case u.Scheme == "http" && host == "localhost" && port == "3000":
		case u.Scheme == "https" && strings.HasPrefix(host, "2001:") && port == "8080":
		default:
			t.Fatalf("%q is admitted", origin)
		}
	})
}

func TestOriginAllocations(t *testing.T) {
	o, err := CompileOrigins([]string{"https://a.example", "https://*.b.example"})
	if err != nil {
		t.Fatal(err)
	}
	good, wild, bad := []byte("https://A.example:443"), []byte("https://x.b.example"), []byte("https://evil.example")
	if n := testing.AllocsPerRun(1000, func() {
		if !o.Allowed(good) || !o.Allowed(wild) || o.Allowed(bad) {
			panic("wrong")
		}
	}); n > 0 {
		t.Errorf("checking an origin allocates %v times", n)
	}
}
