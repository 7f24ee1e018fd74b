// Package config turns flags, environment variables and holdfast.toml into one
// checked value, and can say for every key where its value came from.
//
// What: Load gathers what each source says, ranks it (flags, then HOLDFAST_
// variables, then Laravel's REVERB_ aliases, then the file, then the defaults),
// converts the winner and checks bounds and the rules that span keys. The
// struct tags of Config are the only list of keys, defaults and bounds; the
// file decoder, the variable names, "holdfast config" and the reload rules are
// all read from them.
//
// Who owns it: a Config is built by Load and not changed afterwards; any
// goroutine may read it. A reload builds a second one and Reloaded merges what
// may change into a third.
//
// What it reads: the file named in Input, secret_file and token_file, and the
// environment in Input. It never reads the process's own environment, opens no
// socket and starts no goroutine.
//
// What it refuses: unknown keys, sections and HOLDFAST_ variables, a value
// without a unit where one is needed, a value out of bounds, a value other than
// the default for a feature that this build does not have, and settings that
// would expose demo credentials or an unprotected admin listener. All faults
// are reported together. REVERB_ variables that have no meaning here (scaling,
// ping interval, rate limiter, the client-side host, port and scheme) are
// ignored without a word, because an application's .env carries them.
package config
