#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Load of the A/B experiments: works, leaves memory in pieces behind, idles, gives all of it back,
# again and again.  Prints the milliseconds of each burst.
#
#   ab_load.sh SEED JOBS IDLE_SECONDS

seed=$1 jobs=$2 idle=$3
mkdir -p /tmp/files
mount -t tmpfs tmpfs /tmp/files
mkfifo /tmp/steps /tmp/answers
while :; do
	phases "$seed" /tmp/files </tmp/steps >/tmp/answers &
	exec 3>/tmp/steps 4</tmp/answers
	echo "burst $jobs" >&3
	read -r answer <&4
	ns=${answer#*\"ns\": }
	echo "$((${ns%%[!0-9]*} / 1000000))"
	sleep "$idle"
	exec 3>&- 4<&-
	wait
	rm -rf /tmp/files/*
	seed=$((seed + 1))
done
