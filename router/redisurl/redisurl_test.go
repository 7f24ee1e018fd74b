package redisurl

import (
	"errors"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Address{
		"redis://h":            {Hosts: []string{"h:6379"}},
		"redis://h:7000/3":     {Hosts: []string{"h:7000"}, DB: 3},
		"rediss://u:p%40%2f@h": {Hosts: []string{"h:6379"}, TLS: true, User: "u", Password: "p@/"},
		"redis://:p@h":         {Hosts: []string{"h:6379"}, Password: "p"},
		"redis://[::1]:7000":   {Hosts: []string{"[::1]:7000"}},
		"redis://[::1]":        {Hosts: []string{"[::1]:6379"}},
		"redis+sentinel://a,b:26380,c/?master=mymaster": {Topology: Sentinel, Hosts: []string{"a:26379", "b:26380", "c:26379"}, Master: "mymaster"},
		"redis+sentinel://a/2?master=m&tls=1":           {Topology: Sentinel, Hosts: []string{"a:26379"}, Master: "m", DB: 2, TLS: true},
		"redis+cluster://u:p@a:7000,b:7001":             {Topology: Cluster, Hosts: []string{"a:7000", "b:7001"}, User: "u", Password: "p"},
	} {
		if got, err := Parse(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "h:6379", "http://h", "redis://", "redis://a,b", "redis://h:0", "redis://h:99999", "redis://h:port", "redis://h/x",
		"redis://h/-1", "redis://h?master=m", "redis+sentinel://a", "redis+cluster://a/1", "redis+cluster://a,,b", "redis://h:1:2", "redis://%zz@h",
		"redis://[h", "redis://h?x=%zz",
	} {
		if a, err := Parse(text); !errors.Is(err, Err) {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("redis+sentinel://u:p@a,b:26380,[::1]/2?master=m&tls=1")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err == nil && len(a.Hosts) == 0 {
			t.Fatalf("%q has no host", text)
		}
	})
}
