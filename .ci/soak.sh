#!/usr/bin/env bash
# Loads one server for long and keeps what was found: soak.sh DIRECTORY [rig flags]
# Writes DIRECTORY/soak-DATE-COMMIT.json and fails if anything was lost, doubled,
# out of order, or not served.
set -euo pipefail
cd "$(dirname "$0")/.."

results=$1
shift
ulimit -n "$(ulimit -Hn)"

began=$(date -u +%Y-%m-%dT%H:%M:%SZ)
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
dirty=true
if [ "$commit" != unknown ] && [ -z "$(git status --porcelain)" ]; then
	dirty=false
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/rig" ./bench/rig

status=0
"$work/rig" exact -m 1000 "$@" | tee "$work/exact" || status=1
"$work/rig" storm -rounds 30 "$@" | tee "$work/storm" || status=1

mkdir -p "$results"
file=$results/soak-$(date -u +%Y-%m-%d)-${commit:0:12}.json
{
	printf '{\n"date": "%s",\n"commit": "%s",\n"dirty": %s,\n"kernel": "%s",\n"cpus": %s,\n"ok": %s,\n' \
		"$began" "$commit" "$dirty" "$(uname -r)" "$(nproc)" "$([ "$status" -eq 0 ] && echo true || echo false)"
	printf '"exact": '
	if [ -s "$work/exact" ]; then cat "$work/exact"; else echo null; fi
	printf ',\n"storm": [\n'
	paste -sd, "$work/storm" | sed 's/},{/},\n{/g'
	printf ']\n}\n'
} >"$file"
echo "soak: $file"
exit "$status"
