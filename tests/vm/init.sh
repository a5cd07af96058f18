#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# First process of a guest: mounts, modules, then busybox init, which collects orphans while the
# command channel runs.  Neither tracefs nor debugfs is mounted, as on many a production system.

export PATH=/bin:/sbin:/usr/bin:/usr/sbin

# A guest that is not what the tests expect must not come up at all.
die() {
	echo "init: $*"
	/bin/busybox poweroff -f
}

/bin/busybox --install -s /bin || die "cannot install busybox"
mount -t proc proc /proc || die "cannot mount /proc"
mount -t sysfs sysfs /sys || die "cannot mount /sys"
mount -t devtmpfs devtmpfs /dev || die "cannot mount /dev"
mount -t cgroup2 cgroup2 /sys/fs/cgroup || die "cannot mount /sys/fs/cgroup"
mount -t tmpfs tmpfs /run || die "cannot mount /run"
mount -t tmpfs tmpfs /tmp || die "cannot mount /tmp"
ip link set lo up || die "cannot bring lo up"

while read -r module; do
	insmod "$module" || die "cannot load $module"
done </modules/order

# "channel=" on the kernel's command line names the serial port: the kernel hands us what it does
# not know itself as environment
ln -s "${channel:?}" /dev/channel || die "no channel"

echo '::once:/sbin/channel' >/etc/inittab
exec init
