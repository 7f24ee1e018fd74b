#!/usr/bin/env bash
# Runs every fuzz target of the module for a while: fuzz.sh [10s]
# The targets are found by go test -list, so that none is forgotten.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
count=0
failed=()
for dir in $(grep -rlE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do
	listed=$(go test -list '^Fuzz' "$dir") # a package that does not build ends the run
	for target in $(grep '^Fuzz' <<<"$listed"); do
		count=$((count + 1))
		echo "== $dir $target"
		if ! go test -run '^$' -fuzz "^${target}\$" -fuzztime "$time" -fuzzminimizetime 5s -parallel 2 "$dir"; then
			failed+=("$dir $target")
		fi
	done
done

echo "fuzz: $count targets, $time each, ${#failed[@]} failed"
if [ "$count" -eq 0 ]; then
	echo "fuzz: no target found" >&2
	exit 1
fi
if [ ${#failed[@]} -gt 0 ]; then
	printf 'failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
