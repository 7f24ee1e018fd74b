#!/usr/bin/env bash
# Fetches what the guest of bench/million boots: setup.sh DIRECTORY
# Debian packages (qemu, a static busybox) are installed if their commands are
# missing. The kernel is only unpacked into DIRECTORY: this host keeps its own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"

"$here"/../../.ci/deps.sh qemu-system-x86_64:qemu-system-x86 busybox:busybox-static
# The packages are there on some hosts whose lists of packages are not.
kernel() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1; }
if [ -e vmlinuz ]; then
	exit 0
fi
if [ -z "$(kernel)" ]; then
	sudo=()
	if [ "$(id -u)" -ne 0 ]; then
		sudo=(sudo)
	fi
	"${sudo[@]}" apt-get update -qq
fi
package=$(kernel)
if [ -z "$package" ]; then
	echo "apt knows no linux-image-cloud-amd64: add Debian's main archive to its sources" >&2
	exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get download -qq "$package" && dpkg -x ./*.deb root)
cp "$work"/root/boot/vmlinuz-* vmlinuz.new
mv vmlinuz.new vmlinuz
