#!/usr/bin/env bash
# Runs commands side by side, each line that they print behind the command's number, and fails if one of them fails:
#   together.sh 'make test-unit test-proof' 'make test-integration'
set -uo pipefail

run() {
  local began=$SECONDS
  bash -c "$2" 2>&1 | sed -u "s/^/$1 | /"
  local code=${PIPESTATUS[0]}
  echo "$1 | == $2: exit code $code after $((SECONDS - began)) s"
  return "$code"
}

trap 'trap - INT TERM; kill 0' INT TERM
pids=()
for command in "$@"; do
  run $((${#pids[@]} + 1)) "$command" &
  pids+=($!)
done
code=0
for pid in "${pids[@]}"; do
  wait "$pid" || code=1
done
exit "$code"
