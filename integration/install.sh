#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what the integration tests need from Debian and is missing, and starts a Docker engine when none answers:
# PostgreSQL (behind the real Tekton Results), a Docker engine (for MinIO, through testcontainers), node and npm (for the
# checks with other clients), rsyslog with TLS (a receiver of lines), Chromium (for the audit's pages), a C compiler (for the race detector). Safe to run
# again; takes well under a second when all is there. Needs root and apt to
# install; elsewhere it says what to install and exits 1.
set -euo pipefail

cache="${SEGMENT_BRIDGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/segment-bridge}"

have() { command -v "$1" >/dev/null; }
engine_answers() { docker version >/dev/null 2>&1; }
stop() { echo "install.sh: $*" >&2; exit 1; }
can_start_engine() { [ "$(id -u)" = 0 ] && [ -z "${DOCKER_HOST:-}" ]; }

missing=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
have node || missing+=(nodejs)
have npm || missing+=(npm)
have gcc || missing+=(gcc libc6-dev)
# For the cluster: what gives pods their network, runs their containers, and a shell that is one static file.
have ip || missing+=(iproute2)
have iptables || missing+=(iptables)
have runc || missing+=(runc)
[ -x /usr/lib/cni/ptp ] || missing+=(containernetworking-plugins)
{ [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1; } || missing+=(busybox-static)
have chromium || missing+=(chromium)
compgen -G '/usr/sbin/rsyslogd' >/dev/null || missing+=(rsyslog)
compgen -G '/usr/lib/*/rsyslog/lmnsd_gtls.so' >/dev/null || missing+=(rsyslog-gnutls)
if ! engine_answers; then
  # An engine that runs elsewhere (DOCKER_HOST, another user's rootless one) is not ours to replace.
  can_start_engine || stop "no Docker engine answers; start one, or let this user reach it, and run 'make test' again"
  have dockerd || missing+=(docker.io)
  have iptables || missing+=(iptables)
  have docker || missing+=(docker-cli)
fi

if ((${#missing[@]})); then
  if [ "$(id -u)" != 0 ] || ! have apt-get; then
    stop "install ${missing[*]} (their Debian names) with your system's package manager, then run 'make test' again"
  fi
  export DEBIAN_FRONTEND=noninteractive
  echo "install.sh: installing ${missing[*]}" >&2
  # docker-cli is part of docker.io before Debian 13.
  packages() {
    local p
    for p in "${missing[@]}"; do
      [ "$p" = docker-cli ] && ! apt-cache show docker-cli >/dev/null 2>&1 && continue
      echo "$p"
    done
  }
  apt_install() { packages | xargs apt-get install -y -q --no-install-recommends >&2; }
  if ! apt_install; then
    apt-get update -q >&2
    apt_install || stop "apt-get could not install ${missing[*]}; see its message above"
  fi
fi

if ! engine_answers; then
  log="$cache/dockerd.log"
  mkdir -p "$cache"
  echo "install.sh: starting dockerd (log: $log)" >&2
  # It outlives us: a lock that our caller holds by an open file is not its business.
  setsid --fork dockerd </dev/null >>"$log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
  for _ in $(seq 120); do
    engine_answers && exit 0
    sleep 0.5
  done
  tail -n 20 "$log" >&2
  stop "dockerd did not answer within a minute; its last lines are above"
fi
