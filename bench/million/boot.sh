#!/usr/bin/env bash
# Boots a throw-away guest that runs one holdfast and its load, and powers off:
# boot.sh CONNECTIONS DIRECTORY HOLDFAST MILLION
# DIRECTORY has the kernel of setup.sh; the console goes to standard output and to
# DIRECTORY/console.log. HOLDFAST and MILLION are static programs. The guest has no
# disk and no network but its own loopback.
# Environment:
#   ACCEL=tcg    or kvm, where /dev/kvm works
#   CPUS=2       of the guest: one for the server, one for the client
#   MEMORY=      MiB of the guest, taken from the host as they are touched;
#                default: 1,024 and 14 for every thousand connections
#   HEARTBEAT=   seconds between a client's pings; default: 120, holdfast's own, or 600
#                for more than 100,000 connections on an emulated processor, where
#                a ping takes up to half a millisecond of one on each side
#   LIMIT=5400   seconds, then the guest is killed
# Exit code: 0 the guest powered off by itself, 124 LIMIT was reached, else qemu's.
set -euo pipefail
if [ $# -ne 4 ]; then
	sed -n '2,/^set/{/^set/d;s/^# \?//;p}' "$0" >&2
	exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
connections=$1 dir=$2 holdfast=$3 million=$4
memory=${MEMORY:-$((1024 + connections * 14 / 1000))}
heartbeat=120
if [ "${ACCEL:=tcg}" = tcg ] && [ "$connections" -gt 100000 ]; then
	heartbeat=600
fi

available=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
if [ "$memory" -gt "$available" ]; then
	echo "the guest may take $memory MiB and this host has $available: free some, or set MEMORY=" >&2
	exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{bin,proc,sys,dev,tmp,etc}
cp "$(command -v busybox)" "$work/root/bin/busybox"
cp "$holdfast" "$work/root/bin/holdfast"
cp "$million" "$work/root/bin/million"
cp "$here/init.sh" "$work/root/init"
chmod 0755 "$work/root/init"
(cd "$work/root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"

# Of the guest's CPU those features are left out that cost the emulation most. What
# is left out of the kernel costs time and no memory a connection: nothing that a
# server's kernel keeps for a socket is switched off.
case $ACCEL in
	kvm) accel=(-accel kvm -cpu host) ;;
	*) accel=(-accel "tcg,thread=multi,tb-size=512" -cpu "max,-smap,-smep,-la57,-umip,-pku") ;;
esac
# The hash table of sockets would be sized for the guest's memory, not for twice as
# many sockets as a server with that much has.
append="console=ttyS0 quiet panic=-1 reboot=t mitigations=off nopti nokaslr audit=0 nowatchdog random.trust_cpu=on tsc=reliable"
append+=" thash_entries=2097152 million.connections=$connections million.heartbeat=${HEARTBEAT:-$heartbeat} million.accel=$ACCEL"

timeout -k 5 "${LIMIT:-5400}" qemu-system-x86_64 "${accel[@]}" -smp "${CPUS:-2}" -m "$memory" \
	-nographic -nodefaults -nic none -serial stdio -monitor none -no-reboot \
	-kernel "$dir/vmlinuz" -initrd "$work/initrd" -append "$append" </dev/null |
	stdbuf -oL tr -d '\r' | tee "$dir/console.log"
