#!/usr/bin/env bash
# Gets what the fault campaigns need: strace, and the tools that make ext4 and xfs file systems. Does nothing where they
# are there; needs root where they are not.
set -euo pipefail
missing=()
command -v strace >/dev/null || missing+=(strace)
command -v mkfs.ext4 >/dev/null || [ -x /usr/sbin/mkfs.ext4 ] || missing+=(e2fsprogs)
command -v mkfs.xfs >/dev/null || [ -x /usr/sbin/mkfs.xfs ] || missing+=(xfsprogs)
command -v mount >/dev/null || missing+=(mount)
[ "${#missing[@]}" -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "the fault tests need ${missing[*]}: install them, or run this as root on Debian" >&2
  exit 1
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
