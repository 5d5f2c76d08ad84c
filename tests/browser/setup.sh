#!/usr/bin/env bash
# Gets what the browser tests need: Debian's Chromium. Does nothing where it is there; needs root where it is not.
set -euo pipefail
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "the browser tests need chromium: install it, or run this as root on Debian" >&2
  exit 1
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium
