#!/usr/bin/env bash
# Delivers messages to clients of one server, each exactly once and in order, and
# prints the result as JSON: exact.sh CLIENTS MESSAGES
# Where the descriptor limit does not allow so many clients, it takes fewer.
set -euo pipefail
cd "$(dirname "$0")/.."

clients=$1
messages=$2
reserve=600 # what the rig wants beside its clients' sockets

ulimit -n "$(ulimit -Hn)"
limit=$(ulimit -n)
if [ "$limit" != unlimited ] && [ "$clients" -gt $((limit - reserve)) ]; then
	clients=$((limit - reserve))
	echo "exact: $clients clients instead of $1, since a process may have $limit descriptors" >&2
fi
go run ./bench/rig exact -n "$clients" -m "$messages"
