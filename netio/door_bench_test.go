package netio

import (
	"io"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// BenchmarkDoorGet compares a GET on a kept-alive connection through the door with
// the same fasthttp server on package net's sockets. cpu-us/op is the processor
// time of both ends, and the client is the same.
func BenchmarkDoorGet(b *testing.B) {
	handler := func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(`{"health":"OK"}`) }
	b.Run("door", func(b *testing.B) {
		h := newDoorHarness(b, func(cfg *doorConfig) {
			cfg.Serve = doorFastHTTP(handler)
			cfg.Now = newClock().now
			cfg.Log = slog.New(slog.DiscardHandler)
		})
		doorBenchmarkGet(b, h.addr)
	})
	b.Run("net", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer ln.Close()
		serve := doorFastHTTP(handler)
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go serve(c)
			}
		}()
		doorBenchmarkGet(b, ln.Addr().String())
	})
}

func doorBenchmarkGet(b *testing.B, addr string) {
	b.ReportAllocs()
	b.SetParallelism(16)
	request := []byte("GET /up HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
	before := doorProcessorTime()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buf := make([]byte, 1024)
		size := 0
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			if size == 0 {
				size, err = c.Read(buf)
			} else {
				_, err = io.ReadFull(c, buf[:size])
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(doorProcessorTime()-before)/float64(time.Microsecond)/float64(b.N), "cpu-us/op")
}

func doorProcessorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
