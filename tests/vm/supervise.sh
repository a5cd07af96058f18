#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# supervise NAME LOG COMMAND: keeps one background process of a test.
#
# Writes the process id to the fifo /run/channel/NAME.pid as soon as the process exists, and its
# exit status to /run/channel/NAME.status when it has ended.  The process runs in the foreground
# of this script: a shell would start it with SIGINT ignored after "&".  Its standard input is a
# fifo that nobody ever writes to, so it never sees the end of a file.

name=/run/channel/$1
log=$2
command=$3

sh -c 'echo $$ >"$0"; eval "exec $1"' "$name.pid" "$command" <>/run/channel/idle >"$log" 2>&1
echo $? >"$name.status.new"
mv "$name.status.new" "$name.status"
