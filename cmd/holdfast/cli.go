package main

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/alecthomas/kong"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/admin"
	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
	"github.com/holdfast-edge/holdfast/tuning"
)

// commandLine is every command and flag. Scripts rely on it: names are not
// changed, only added.
type commandLine struct {
	Serve       serveCommand       `cmd:"" help:"Run the server until SIGTERM or SIGINT. SIGHUP reads the configuration again."`
	CheckConfig checkConfigCommand `cmd:"" help:"Report every fault of the configuration and end. Takes the flags of serve."`
	Config      configCommand      `cmd:"" help:"Print every key as TOML, with where its value came from. Takes the flags of serve."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
	Doctor      doctorCommand      `cmd:"" help:"Check this host for a number of connections: kernel settings, limits, memory."`
	Publish     publishCommand     `cmd:"" help:"Publish one event over the HTTP API of a running server."`
	Log         logCommand         `cmd:"" help:"Look at the replay log of a server that is stopped."`
	Tail        tailCommand        `cmd:"" help:"Subscribe to channels and print each event as a line of JSON."`
	Bench       benchCommand       `cmd:"" help:"Load-test a server of the Pusher protocol: many connections, broadcasts, reconnect storms."`
}

// command is what every member of commandLine can do.
type command interface {
	run(p *process) int
}

// exitRequest carries the code of kong's --help out of the parser.
type exitRequest int

// dispatch parses the command line and runs the command.
func dispatch(args []string, p *process) (code int) {
	defer func() {
		if r := recover(); r != nil {
			request, ok := r.(exitRequest)
			if !ok {
				panic(r)
			}
			code = int(request)
		}
	}()
	var line commandLine
	parser, err := kong.New(&line,
		kong.Name("holdfast"),
		kong.Description("One binary that holds an application's WebSockets: Pusher protocol for clients, Pusher HTTP API for backends."),
		kong.Writers(p.out, p.err),
		kong.Exit(func(code int) { panic(exitRequest(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		panic(err) // a bad struct tag above; every test of a command would find it
	}
	context, err := parser.Parse(args)
	if err != nil {
		return p.usage(err)
	}
	cmd, ok := context.Selected().Target.Addr().Interface().(command)
	if !ok {
		panic(fmt.Sprintf("%s is not a command", context.Command()))
	}
	return cmd.run(p)
}

// usage reports a command line that cannot be understood.
func (p *process) usage(err error) int {
	fmt.Fprintf(p.err, "holdfast: %v\n", err)
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context.Command() != "" {
		fmt.Fprintf(p.err, "See: holdfast %s --help\n", parse.Context.Selected().Name)
		return exitUsage
	}
	fmt.Fprintln(p.err, "See: holdfast --help")
	return exitUsage
}

// fail reports why a command did not do its work.
func (p *process) fail(name string, err error) int {
	fmt.Fprintf(p.err, "holdfast %s: %v\n", name, err)
	return exitFailure
}

// configFlags are the flags that stand for keys. A nil one was not given.
type configFlags struct {
	Config      *string  `placeholder:"holdfast.toml" help:"Configuration file. Without this flag ./holdfast.toml is read if it exists."`
	Listen      *string  `placeholder:"127.0.0.1:8080" help:"Where clients and backends connect: host:port or unix:/path (server.listen)."`
	AdminListen *string  `placeholder:"127.0.0.1:9090" help:"Where /metrics, /livez and /readyz are: host:port, unix:/path or \"\" for nowhere (admin.listen)."`
	DataDir     *string  `placeholder:"./data" help:"Directory for the server's files, created with mode 0700 (server.data_dir)."`
	AppID       *string  `name:"app-id" placeholder:"app-id" help:"Id of the first app (apps.id)."`
	AppKey      *string  `placeholder:"app-key" help:"Key of the first app (apps.key)."`
	AppSecret   *string  `placeholder:"app-secret" help:"Secret of the first app (apps.secret). Others on this host can see it here; prefer HOLDFAST_APPS_SECRET or secret_file."`
	Redis       *string  `placeholder:"URL" help:"Redis or Valkey for several nodes (redis.url)."`
	Loops       *string  `placeholder:"N" help:"Event loops, 0 for one per core (server.loops)."`
	Dev         bool     `help:"Accept the demo credentials on any address."`
	Set         []string `sep:"none" placeholder:"section.key=value" help:"Any other key of the file; may be repeated. Lists are separated by commas."`
	EchoPath    string   `hidden:"" help:"Serve a plain WebSocket echo at this path, for conformance tools."`
}

// defaultConfigFile is read if it exists.
const defaultConfigFile = "holdfast.toml"

// input is where the configuration is looked for.
func (f *configFlags) input(env []string) config.Input {
	in := config.Input{File: defaultConfigFile, Env: env, Sets: f.Set, Dev: f.Dev, EchoPath: f.EchoPath}
	if f.Config != nil {
		in.File, in.FileRequired = *f.Config, true
	}
	for _, flag := range []struct {
		value     *string
		name, key string
	}{
		{f.Listen, "--listen", "server.listen"},
		{f.AdminListen, "--admin-listen", "admin.listen"},
		{f.DataDir, "--data-dir", "server.data_dir"},
		{f.AppID, "--app-id", "apps.id"},
		{f.AppKey, "--app-key", "apps.key"},
		{f.AppSecret, "--app-secret", "apps.secret"},
		{f.Redis, "--redis", "redis.url"},
		{f.Loops, "--loops", "server.loops"},
	} {
		if flag.value != nil {
			in.Flags = append(in.Flags, config.Flag{Name: flag.name, Key: flag.key, Value: *flag.value})
		}
	}
	return in
}

// load reads the configuration or reports its faults.
func (p *process) load(in config.Input) (*config.Config, bool) {
	cfg, err := config.Load(in)
	if err == nil {
		return cfg, true
	}
	var faults config.Faults
	if errors.As(err, &faults) && len(faults) > 1 {
		fmt.Fprintf(p.err, "holdfast: the configuration has %d faults:\n%v\n", len(faults), err)
	} else {
		fmt.Fprintf(p.err, "holdfast: the configuration has a fault:\n%v\n", err)
	}
	return nil, false
}

type checkConfigCommand struct {
	configFlags `embed:""`
}

func (c *checkConfigCommand) run(p *process) int {
	cfg, ok := p.load(c.input(p.env))
	if !ok {
		return exitUsage
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintf(p.err, "warning: %s\n", w)
	}
	fmt.Fprintln(p.out, "The configuration is valid.")
	return exitOK
}

type configCommand struct {
	configFlags `embed:""`
}

func (c *configCommand) run(p *process) int {
	cfg, ok := p.load(c.input(p.env))
	if !ok {
		return exitUsage
	}
	if err := cfg.Print(p.out); err != nil {
		return p.fail("config", err)
	}
	return exitOK
}

type versionCommand struct{}

func (*versionCommand) run(p *process) int {
	b := admin.ReadBuildInfo(version)
	fmt.Fprintf(p.out, "holdfast %s (revision %s, %s, %s/%s)\n", b.Version, b.Revision, b.GoVersion, runtime.GOOS, runtime.GOARCH)
	return exitOK
}

type doctorCommand struct {
	Connections int    `default:"1000000" placeholder:"N" help:"Connections to plan for. Default ${default}."`
	JSON        bool   `name:"json" help:"Print the findings as JSON."`
	WriteSysctl string `placeholder:"FILE" help:"Write the kernel settings as a sysctl.d file."`
}

func (c *doctorCommand) run(p *process) int {
	return tuning.Doctor(tuning.DoctorOptions{Connections: c.Connections, JSON: c.JSON, WriteSysctl: c.WriteSysctl}, p.out)
}
