#!/bin/busybox sh
# The first process of the guest: makes it a host for twice the connections, since
# both ends of each are here, runs the measurement, and powers off.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
exec </dev/null
echo 1 >/proc/sys/kernel/printk
connections=$(sed 's/.*million\.connections=\([0-9]*\).*/\1/' /proc/cmdline)

# What an operator would do.
holdfast doctor --connections $((2 * connections)) --write-sysctl /etc/holdfast.conf >/tmp/doctor.txt
# (Busybox knows no "-key": a key that an older kernel has not.)
sed "s/^-//" /etc/holdfast.conf | sysctl -q -p /dev/stdin
# What only this crowd needs: the ports of the client's side, and room for both
# ends' share of one broadcast, which doctor keeps below a quarter of the memory.
sysctl -q -w net.ipv4.ip_local_port_range="1024 65535"
sysctl -q -w net.ipv4.tcp_mem="$((3 * connections + 65536)) $((4 * connections + 65536)) $((5 * connections + 65536))"
ip link set lo up
ulimit -n $((connections + 10000))

cd /tmp || exit
million guest -n "$connections" -heartbeat "$(sed 's/.*million\.heartbeat=\([0-9]*\).*/\1/' /proc/cmdline)s"
reboot -f
