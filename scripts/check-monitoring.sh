#!/usr/bin/env bash
# check-monitoring.sh : Prometheus reads the alert rules and the dashboard's queries, and the rules do what their tests say.
# Takes promtool from PATH, else out of Debian's package `prometheus`, whose service is not wanted. Exit code 77: it cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh

readonly TOOLS=target/tools
readonly MONITORING=deploy/monitoring

fetch_promtool() {
  local directory
  directory=$(mktemp -d)
  chmod 755 "$directory" # apt's own user writes there
  [ "$(id -u)" != 0 ] || { apt-get update -qq >&2 && chown _apt "$directory"; }
  (cd "$directory" && apt-get download -qq prometheus >&2 && dpkg-deb -x prometheus_*.deb .) || return 1
  mkdir -p "$TOOLS" && mv "$directory/usr/bin/promtool" "$TOOLS/promtool"
  rm -r "$directory"
}

promtool=$(command -v promtool || echo "$TOOLS/promtool")
if [ ! -x "$promtool" ]; then
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null || ! fetch_promtool; then
    say "promtool is neither installed nor to be had from Debian's package prometheus"
    exit 77
  fi
fi
require jq

"$promtool" check rules "$MONITORING/alerts.yaml"
"$promtool" test rules "$MONITORING/alerts.test.yaml"

# Grafana's variables are replaced by what they may stand for.
queries=$(mktemp --suffix .yaml)
trap 'rm "$queries"' EXIT
jq '{groups: [{name: "dashboard", rules: [[.. | .expr? // empty] | to_entries[] | {
      record: "query\(.key)",
      expr: .value | gsub("\\$__rate_interval"; "5m") | gsub("\\$(from|to|instance)"; ".*")
    }]}]}' "$MONITORING/grafana-dashboard.json" >"$queries"
"$promtool" check rules "$queries"
