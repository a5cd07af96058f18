#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Installs the Debian 12 packages that the build and the tests need.  Says nothing, and asks
# nobody, where all of them are there.

set -eu

# programs, BPF object, man pages
build='gcc libc6-dev make clang bpftool libbpf-dev libelf-dev zlib1g-dev libconfig-dev
libgsl-dev libjansson-dev linux-libc-dev scdoc'
# unit tests (gcc brings the sanitizers), lint, check.py
check='libcmocka-dev python3 git clang-format clang-tidy cppcheck'
# live tests
live='strace'
# reports of experiments: plots, in unit tests too
plots='gnuplot-nox'
# reports of experiments: a browser that looks at the pages
browser='chromium'
# guests: their kernels are Debian packages of other suites, verified against the archive's keys
vm='qemu-system-x86 busybox-static stress-ng dpkg apt debian-archive-keyring ca-certificates'
# a guest with systemd
systemd='mmdebstrap'
# the same for arm64; its libraries are unpacked by tests/vm/sysroot.py and not installed, so that
# no second architecture is added to this machine
arm64='qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross'

needed="$build $check $live $plots $browser $vm $systemd $arm64"
# `deps.sh bench`: what benchmarks compare with
[ "${1:-}" != bench ] || needed="$needed bpftrace"
# shellcheck disable=SC2016,SC2086 # dpkg-query expands the one, the other is a list of words
installed=" $(dpkg-query -W -f='${db:Status-Status}=${Package} ' $needed 2>/dev/null)" || true
missing=
for package in $needed; do
	case $installed in
	*" installed=$package "*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "missing packages; as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# shellcheck disable=SC2086 # a list of words
exec apt-get -qq -y install --no-install-recommends $missing
