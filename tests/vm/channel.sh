#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Guest side of the command channel on /dev/channel, see channel.py for the host side.
#
#   host:   ID TIMEOUT COMMAND-IN-BASE64 newline
#   guest:  ID STATUS SIZE MD5 newline, then SIZE bytes of output (stdout and stderr)
#
# The output goes through a file, so that what a command leaves running in the background can
# neither delay the answer nor get into the next one.

state=/run/channel

answer() {
	size=$(stat -c %s "$state/$1.out")
	sum=$(head -c "$size" "$state/$1.out" | md5sum)
	echo "$1 $2 $size ${sum%% *}"
	head -c "$size" "$state/$1.out"
}

# A session of its own lets a command signal its group without hitting the channel.
execute() {
	timeout -s KILL "$2" setsid sh "$state/$1.sh" </dev/null >"$state/$1.out" 2>&1
}

serve() {
	while read -r id limit command; do
		echo "$command" | base64 -d >"$state/$id.sh"
		execute "$id" "$limit"
		answer "$id" $?
		rm -f "$state/$id.sh" "$state/$id.out"
	done
}

mkdir "$state"
mkfifo "$state/idle"
cd /root || exit
export HOME=/root

exec </dev/channel >/dev/channel
stty raw -echo clocal
echo "ready $(uname -r)"
serve
