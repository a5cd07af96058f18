#!/opt/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# First process of a guest with systemd: modules and the command channel, then systemd, which finds
# /run mounted and leaves what runs already alone.

applets=/opt/applets
export PATH=$applets

die() {
	echo "init: $*"
	/opt/busybox poweroff -f
}

/opt/busybox mkdir $applets && /opt/busybox --install -s $applets || die "cannot install busybox"
mount -t proc proc /proc || die "cannot mount /proc"
mount -t sysfs sysfs /sys || die "cannot mount /sys"
mount -t devtmpfs devtmpfs /dev || die "cannot mount /dev"
mount -t tmpfs -o mode=0755 tmpfs /run || die "cannot mount /run"

while read -r module; do
	insmod "$module" || die "cannot load $module"
done </modules/order
ln -s "${channel:?}" /dev/channel || die "no channel"

export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$applets
setsid /sbin/channel &
exec /lib/systemd/systemd
