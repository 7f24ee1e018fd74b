#!/usr/bin/env bash
# Installs Debian packages whose command, or file, is missing: deps.sh command:package
# /a/file*:package…
set -euo pipefail

missing=()
for pair in "$@"; do
	case $pair in
	/*) compgen -G "${pair%%:*}" >/dev/null || missing+=("${pair##*:}") ;;
	*) command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}") ;;
	esac
done
# The race detector links against the C library.
if ! [ -e /usr/include/stdio.h ]; then
	missing+=(libc6-dev)
fi
if [ ${#missing[@]} -eq 0 ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "missing: ${missing[*]}; this is no Debian, install them by hand" >&2
	exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
	sudo=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
