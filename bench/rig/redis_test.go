package main

import (
	"bufio"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestReadReply(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     any
		fails    error
	}{
		{name: "simple string", in: "+OK\r\n", want: "OK"},
		{name: "number", in: ":-7\r\n", want: int64(-7)},
		{name: "bulk string", in: "$4\r\na\r\nb\r\n", want: "a\r\nb"},
		{name: "empty", in: "$0\r\n\r\n", want: ""},
		{name: "null", in: "$-1\r\n", want: nil},
		{name: "array", in: "*2\r\n$1\r\nx\r\n*1\r\n:1\r\n", want: []any{"x", []any{int64(1)}}},
		{name: "refused", in: "-NOAUTH no\r\n", fails: errRedis},
		{name: "refused inside", in: "*2\r\n:1\r\n-ERR x\r\n", fails: errRedis},
		{name: "too long", in: "$9999999999\r\n", fails: errReply},
		{name: "too deep", in: strings.Repeat("*1\r\n", redisDepth+1) + ":1\r\n", fails: errReply},
		{name: "negative length", in: "$-2\r\n", fails: errReply},
		{name: "no number", in: ":x\r\n", fails: errReply},
		{name: "another protocol", in: "%1\r\n", fails: errReply},
		{name: "no line", in: "\r\n", fails: errReply},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readReply(bufio.NewReader(strings.NewReader(tt.in)), redisDepth)
			if !errors.Is(err, tt.fails) || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%#v, %v", got, err)
			}
		})
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add("+OK\r\n")
	f.Add("*2\r\n$1\r\nx\r\n:1\r\n")
	f.Add("$-1\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		if v, err := readReply(bufio.NewReader(strings.NewReader(in)), redisDepth); err != nil && v != nil {
			t.Fatalf("%#v beside %v", v, err)
		}
	})
}

// What is sent is what a server would read.
func TestAppendCommand(t *testing.T) {
	got, err := readReply(bufio.NewReader(strings.NewReader(string(appendCommand(nil, "SET", "a b", "\r\n")))), 1)
	if want := []any{"SET", "a b", "\r\n"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v, %v", got, err)
	}
}

func TestInfoField(t *testing.T) {
	text := "# Memory\r\nused_memory:1024\r\nused_memory_human:1K\r\n"
	if got := infoField(text, "used_memory"); got != "1024" {
		t.Errorf("%q", got)
	}
	if got := infoField(text, "memory"); got != "" {
		t.Errorf("%q", got)
	}
}
