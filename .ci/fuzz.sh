#!/usr/bin/env bash
# Runs every fuzz target of the module for a while: fuzz.sh [10s]
# The targets are found by the compiled tests' own lists, so that none is forgotten.
# As many run at a time as there are processors, each with one worker.
set -euo pipefail
cd "$(dirname "$0")/.."

export FUZZ_TIME=${1:-10s}
export FUZZ_WORK
FUZZ_WORK=$(mktemp -d)
trap 'rm -rf "$FUZZ_WORK"' EXIT

: >"$FUZZ_WORK/targets"
for dir in $(grep -rlE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do
	binary=$FUZZ_WORK/$(echo "$dir" | tr / _).test
	go test -c -fuzz . -o "$binary" "$dir" # a package that does not build ends the run
	(cd "$dir" && "$binary" -test.list '^Fuzz') | grep '^Fuzz' | sed "s|^|$dir $binary |" >>"$FUZZ_WORK/targets"
done
count=$(wc -l <"$FUZZ_WORK/targets")
if [ "$count" -eq 0 ]; then
	echo "fuzz: no target found" >&2
	exit 1
fi

# run DIR BINARY TARGET
run() {
	(cd "$1" && "$2" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime "$FUZZ_TIME" -test.fuzzminimizetime 5s \
		-test.parallel 1 -test.fuzzcachedir "$FUZZ_WORK/cache/$3")
}

# one DIR BINARY TARGET
# Go's fuzzer now and then reports its own deadline as a failure, when that comes while
# it is minimising. There is no failing input then, and the target runs again.
one() {
	local log
	log=$(mktemp -p "$FUZZ_WORK")
	if run "$@" >"$log" 2>&1 ||
		{ grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log" && run "$@" >"$log" 2>&1; }; then
		echo "ok   $1 $3: $(grep -o 'execs: [0-9]*' "$log" | tail -1)"
	else
		echo "FAIL $1 $3" | tee -a "$FUZZ_WORK/failed"
		cat "$log"
	fi
}
export -f run one
xargs -P "$(nproc)" -L 1 bash -c 'one "$@"' one <"$FUZZ_WORK/targets"

echo "fuzz: $count targets, $FUZZ_TIME each"
if [ -s "$FUZZ_WORK/failed" ]; then
	sort "$FUZZ_WORK/failed" >&2
	exit 1
fi
