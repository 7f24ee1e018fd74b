package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/admin"
	"github.com/holdfast-edge/holdfast/cmd/holdfast/bench"
)

type benchCommand struct {
	Connect benchConnectCommand `cmd:"" help:"Open connections, each subscribed to its share of the channels, hold them, and report latency and rate."`
	Fanout  benchFanoutCommand  `cmd:"" help:"Publish to subscribers at a rate, and measure from when each event was due to its reception."`
	Storm   benchStormCommand   `cmd:"" help:"Let all connections come at once, cut them off, let them come back, several times."`
	Mixed   benchMixedCommand   `cmd:"" help:"Most connections idle, some on channels that get events, some that leave and come back."`
	Share   benchShareCommand   `cmd:"" hidden:"" help:"Do the share of a further process; started by the others."`
}

// benchFlags are common to all scenarios.
type benchFlags struct {
	URL             string        `name:"url" default:"ws://127.0.0.1:8080" placeholder:"URL" help:"Server, with its path prefix if it has one: any that speaks the Pusher protocol. ws:// only: TLS would cost this side too much memory a connection; test behind the proxy. Default ${default}."`
	AppID           string        `name:"app-id" default:"app-id" env:"HOLDFAST_APPS_ID,REVERB_APP_ID" placeholder:"ID" help:"App. Default ${default}."`
	AppKey          string        `default:"app-key" env:"HOLDFAST_APPS_KEY,REVERB_APP_KEY" placeholder:"KEY" help:"Its key. Default ${default}."`
	AppSecret       string        `default:"app-secret" env:"HOLDFAST_APPS_SECRET,REVERB_APP_SECRET" placeholder:"SECRET" help:"Its secret, which signs publishes and private channels. Others on this host can see it here; prefer the variables. Default ${default}."`
	Origin          string        `placeholder:"URL" help:"Origin header, for servers that want one."`
	Connections     int           `short:"n" default:"1000" placeholder:"N" help:"Connections over all processes. Default ${default}."`
	ChannelPrefix   string        `default:"bench-" placeholder:"NAME" help:"What channel names begin with; a number follows. With private- subscriptions are signed. Default ${default}."`
	Concurrency     int           `default:"1000" placeholder:"N" help:"Handshakes under way at once. Above net.core.somaxconn of the server, connects are repeated by the kernel after a second. Default ${default}."`
	ConnectTimeout  time.Duration `default:"60s" placeholder:"TIME" help:"The longest from connect to the last subscription. Default ${default}."`
	Processes       int           `default:"1" placeholder:"P" help:"Processes that share the connections, each with descriptors and source addresses of its own. Default ${default}."`
	Threads         int           `default:"1" placeholder:"N" help:"Loops in each process. Default ${default}."`
	SourceAddresses string        `default:"auto" placeholder:"LIST" help:"Addresses to connect from: auto (127.0.1.1 and following, as many as the port range asks for, when the target is on the loopback), none, a count of loopback addresses, or a list such as 10.0.0.5,10.0.0.8-10.0.0.20. Default ${default}."`
	Destinations    int           `default:"1" placeholder:"N" help:"Connect to N addresses in turn, from that of --url on, as 127.0.0.1 to 127.0.0.40. Default ${default}."`
	Grace           time.Duration `default:"10s" placeholder:"TIME" help:"Events that stay away this long after the last one that came are lost. Default ${default}."`
	JSON            string        `name:"json" placeholder:"FILE" help:"Write the result as JSON, - for standard output in place of the table."`
	Quiet           bool          `help:"Print no progress."`
	Force           bool          `help:"Go on where descriptors or ports will not suffice."`
	StatusFile      string        `placeholder:"FILE" help:"Write the exit code into FILE when the result is printed, then keep the connections until killed."`
}

type benchConnectCommand struct {
	benchFlags         `embed:""`
	Channels           int           `default:"1" placeholder:"N" help:"Channels that the connections are spread over; 0 subscribes to none. Default ${default}."`
	Rate               float64       `placeholder:"N" help:"Connects per second, each due at its time whatever became of those before; 0 is as fast as --concurrency allows. Default 0."`
	Hold               time.Duration `default:"10s" placeholder:"TIME" help:"How long the connections are held. Default ${default}."`
	BroadcastAfterHold bool          `help:"Then publish one event to every channel, which each connection must receive exactly once."`
	Size               int           `default:"200" placeholder:"BYTES" help:"Data of that event. Default ${default}."`
}

type benchFanoutCommand struct {
	benchFlags  `embed:""`
	publishRate `embed:""`
	Channels    int     `default:"1" placeholder:"N" help:"Channels that the connections are spread over and that get events in turn. Default ${default}."`
	Rate        float64 `default:"10" placeholder:"N" help:"Publishes per second, each due at its time whether or not those before were answered. Default ${default}."`
}

type benchStormCommand struct {
	benchFlags `embed:""`
	Channels   int     `default:"1" placeholder:"N" help:"Channels that the connections are spread over; 0 subscribes to none. Default ${default}."`
	Rate       float64 `placeholder:"N" help:"Connects per second; 0 is all at once, as fast as --concurrency allows. Default 0."`
	Rounds     int     `default:"3" placeholder:"N" help:"How often all come back. Default ${default}."`
}

type benchMixedCommand struct {
	benchFlags  `embed:""`
	publishRate `embed:""`
	Channels    int           `default:"1000" placeholder:"N" help:"Channels that get events in turn. Default ${default}."`
	Rate        float64       `default:"100" placeholder:"N" help:"Publishes per second, each due at its time whether or not those before were answered. Default ${default}."`
	IdleShare   int           `default:"70" placeholder:"%" help:"Per cent of the connections whose channels get no events. Default ${default}."`
	ChurnShare  int           `default:"10" placeholder:"%" help:"Per cent that leave and come back; the rest stays and gets events. Default ${default}."`
	Stay        time.Duration `default:"5s" placeholder:"TIME" help:"How long those stay on average, half to one and a half of it. Default ${default}."`
}

// publishRate is what scenarios that publish all along have in common.
type publishRate struct {
	ConnectRate float64       `placeholder:"N" help:"Connects per second; 0 is as fast as --concurrency allows. Default 0."`
	Duration    time.Duration `default:"10s" placeholder:"TIME" help:"How long events are published. Default ${default}."`
	Size        int           `default:"200" placeholder:"BYTES" help:"Data of an event, 44 or more. Default ${default}."`
	Publishers  int           `default:"64" placeholder:"N" help:"The most connections to the HTTP API, opened as they are needed; up to 64. Default ${default}."`
}

func (f *benchFlags) common(kind string) bench.Params {
	p := bench.Default(kind)
	p.URL, p.AppID, p.AppKey, p.AppSecret, p.Origin = f.URL, f.AppID, f.AppKey, f.AppSecret, f.Origin
	p.Connections, p.ChannelPrefix, p.Concurrency, p.ConnectTimeout = f.Connections, f.ChannelPrefix, f.Concurrency, f.ConnectTimeout
	p.Processes, p.Threads, p.SourceAddresses, p.Destinations = f.Processes, f.Threads, f.SourceAddresses, f.Destinations
	p.Grace, p.Force = f.Grace, f.Force
	return p
}

func (r *publishRate) into(p *bench.Params) {
	p.ConnectRate, p.Duration, p.PublishSize, p.Publishers = r.ConnectRate, r.Duration, r.Size, r.Publishers
}

func (c *benchConnectCommand) run(p *process) int { return c.load(p, c.params()) }

func (c *benchConnectCommand) params() bench.Params {
	params := c.common(bench.Connect)
	params.Channels, params.ConnectRate, params.Hold = c.Channels, c.Rate, c.Hold
	params.Broadcast, params.PublishSize = c.BroadcastAfterHold, c.Size
	return params
}

func (c *benchFanoutCommand) run(p *process) int { return c.load(p, c.params()) }

func (c *benchFanoutCommand) params() bench.Params {
	params := c.common(bench.Fanout)
	c.into(&params)
	params.Channels, params.PublishRate = c.Channels, c.Rate
	return params
}

func (c *benchStormCommand) run(p *process) int { return c.load(p, c.params()) }

func (c *benchStormCommand) params() bench.Params {
	params := c.common(bench.Storm)
	params.Channels, params.ConnectRate, params.Rounds = c.Channels, c.Rate, c.Rounds
	return params
}

func (c *benchMixedCommand) run(p *process) int { return c.load(p, c.params()) }

func (c *benchMixedCommand) params() bench.Params {
	params := c.common(bench.Mixed)
	c.into(&params)
	params.Channels, params.PublishRate = c.Channels, c.Rate
	params.IdleShare, params.ChurnShare, params.Stay = c.IdleShare, c.ChurnShare, c.Stay
	return params
}

// load runs a scenario and reports it.
func (f *benchFlags) load(p *process, params bench.Params) int {
	name := "bench " + params.Kind
	program, err := os.Executable()
	if err != nil {
		return p.fail(name, err)
	}
	signals, stop := p.signals()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	listening := make(chan struct{})
	go func() { cancelBySignal(ctx, signals, cancel); close(listening) }()
	build := admin.ReadBuildInfo(version)
	host := bench.Host{
		Program: []string{program, "bench", "share"}, Build: bench.Build{Version: build.Version, Revision: build.Revision},
		Warn: p.err, Linger: f.StatusFile != "",
	}
	if !f.Quiet {
		host.Progress = p.err
		file, ok := p.err.(*os.File)
		host.Terminal = ok && bench.IsTerminal(file)
	}
	result, err := bench.Run(ctx, params, host)
	// From here on a signal is not for the run, but for leave.
	cancel()
	<-listening
	if result == nil {
		code := p.fail(name, err)
		if errors.Is(err, bench.ErrUsage) || errors.Is(err, bench.ErrRefused) {
			code = exitUsage
		}
		return f.leave(p, name, code, signals)
	}
	code := result.ExitCode
	if err := f.report(p, result); err != nil {
		code = p.fail(name, err)
	}
	return f.leave(p, name, code, signals)
}

// report prints the table, and the JSON where it was asked for.
func (f *benchFlags) report(p *process, r *bench.Result) error {
	table := p.out
	if f.JSON == "-" {
		table = io.Discard
	}
	if err := r.Print(table); err != nil {
		return err
	}
	if f.JSON == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if f.JSON == "-" {
		_, err = p.out.Write(text)
		return err
	}
	return os.WriteFile(f.JSON, text, 0o644)
}

// leave returns the exit code; with a status file it stays, so that nobody who
// reads the file has to wait until the kernel has closed a million sockets.
func (f *benchFlags) leave(p *process, name string, code int, signals <-chan os.Signal) int {
	if f.StatusFile == "" {
		return code
	}
	if err := writeWhole(f.StatusFile, strconv.Itoa(code)+"\n"); err != nil {
		return p.fail(name, err)
	}
	<-signals
	return code
}

// writeWhole writes a file that no reader sees half of.
func writeWhole(file, text string) error {
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

type benchShareCommand struct{}

func (c *benchShareCommand) run(p *process) int {
	signals, stop := p.signals()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go cancelBySignal(ctx, signals, cancel)
	if err := bench.Help(ctx, p.in, p.out); err != nil {
		fmt.Fprintln(p.err, err)
		return exitFailure
	}
	return exitOK
}
