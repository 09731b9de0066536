#!/usr/bin/env bash
# check-chart.sh [--write | --tool NAME] : checks the Helm chart deploy/chart: `helm lint`, a render with the values of every preset, each object
# of it against the schemas of Kubernetes, of the Prometheus operator and of Carrick's CRDs, the defaults in values.schema.json, and the
# manifests for kubectl in deploy/, which are rendered from the chart.
#   --write      writes these manifests anew, and the table of values in docs/chart.md
#   --tool NAME  prints the path of helm or kubeconform, and checks nothing
# Takes helm and kubeconform from PATH, else builds them with Go once, in the user's cache. Exit code 77: they or the schemas cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/requirements.sh
show_help 8 "$@"

readonly HELM=v4.3.1 KUBECONFORM=v0.8.0 OPERATOR=v0.94.0
readonly CHART=deploy/chart
readonly TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/carrick/tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go_tool() { # NAME PACKAGE VERSION
  local directory=$TOOLS/$1-$3
  if command -v "$1" >/dev/null; then command -v "$1"; return; fi
  if [ ! -x "$directory/$1" ]; then
    command -v go >/dev/null || { say "there is no Go to build $1 with"; return 77; }
    say "building $1 $3; minutes the first time ..."
    GOBIN=$directory GOFLAGS=-mod=mod CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" "$2@$3" >&2 ||
      { say "Go cannot download or build $1"; return 77; }
  fi
  echo "$directory/$1"
}

module() { # MODULE VERSION : prints the directory of a Go module
  command -v go >/dev/null || { say "there is no Go to download $1 with"; return 77; }
  (cd "$work" && GOFLAGS=-mod=mod go mod download -json "$1@$2" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])') ||
    { say "Go cannot download $1"; return 77; }
}

# Helm prints the name of each linked file to standard error.
render() { # ARGUMENT...
  "$helm" template carrick "$CHART" --namespace kube-system "$@" 2>"$work/errors" || { cat "$work/errors" >&2; return 1; }
}

# What kustomize installs, without the comments and separators of Helm.
manifest() { # TEMPLATE
  printf '# Rendered from deploy/chart/templates/%s by scripts/check-chart.sh --write\n' "$1"
  render --values "$CHART/kustomize-values.yaml" --show-only "templates/$1" | sed -e '/^---$/d' -e '/^# Source: /d' -e '/^$/d'
}

values_of() { # PRESET : a preset, with what it leaves to the cluster or the user
  printf '%s\n' --values "$CHART/presets/$1.yaml"
  grep -q '^apiServer:' "$CHART/presets/$1.yaml" || printf '%s\n' --set apiServer=https://203.0.113.1:6443
}

get_helm() { go_tool helm helm.sh/helm/v4/cmd/helm "$HELM"; }
get_kubeconform() { go_tool kubeconform github.com/yannh/kubeconform/cmd/kubeconform "$KUBECONFORM"; }
if [ "${1:-}" = --tool ]; then
  "get_$2"
  exit
fi
helm=$(get_helm)
declare -A manifests=(
  [deploy/agent.yaml]=agent.yaml
  [deploy/userspace-wireguard/userspace-wireguard.yaml]=userspace-wireguard.yaml
)
if [ "${1:-}" = --write ]; then
  for file in "${!manifests[@]}"; do manifest "${manifests[$file]}" >"$work/rendered" && cp "$work/rendered" "$file"; done
  scripts/chart_values.py --write
  exit
fi

require python3
python3 -c 'import yaml' 2>/dev/null || require python3-yaml
kubeconform=$(get_kubeconform)
kubernetes=$(module k8s.io/kubernetes "$(grep -oP '\bk8s.io/kubernetes \Kv[0-9.]+' tests/kubernetes/kubernetes/go.mod | head -1)")
operator=$(module github.com/prometheus-operator/prometheus-operator "$OPERATOR")
scripts/kubernetes-schemas.py "$work/schemas" "$kubernetes/api/openapi-spec/swagger.json" \
  "$operator"/example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,prometheusrules}.yaml deploy/crd/*.yaml

failed=0
fail() { say "chart: $*"; failed=1; }

for file in "${!manifests[@]}"; do
  manifest "${manifests[$file]}" >"$work/rendered"
  diff -u "$file" "$work/rendered" >&2 || fail "$file is not what the chart renders; run: scripts/check-chart.sh --write"
done
python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)' "$CHART/values.yaml" >"$work/values.json"
scripts/chart_values.py --defaults "$work/values.json" || fail "see above"


# Who uses kubectl alone gets the same settings.
render --set apiServer=https://203.0.113.1:6443 --show-only templates/settings.yaml |
  python3 -c 'import sys, yaml; [print(f"{k}={v}") for k, v in yaml.safe_load(sys.stdin)["data"].items() if k != "CARRICK_API_SERVER"]' >"$work/settings"
grep -E '^CARRICK_[A-Z_]+=.' deploy/settings.env | sort | diff -u - <(sort "$work/settings") >&2 || fail "deploy/settings.env has other settings than the chart"

workspace=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
for key in version appVersion; do
  grep -qx "$key: $workspace" "$CHART/Chart.yaml" || fail "$key in Chart.yaml is not the version $workspace of the workspace"
done

for preset in "$CHART"/presets/*.yaml; do
  name=$(basename "$preset" .yaml)
  mapfile -t values < <(values_of "$name")
  "$helm" lint "$CHART" --namespace kube-system --quiet --strict "${values[@]}" >"$work/lint" 2>&1 || { cat "$work/lint" >&2; fail "$name: helm lint"; }
  for all in false true; do
    render "${values[@]}" --set "monitoring.podMonitor=$all,monitoring.rules=$all,monitoring.dashboards=$all,monitoring.scrapeAnnotations=$all" \
      --set "keepOnUninstall=$all" >"$work/$name.yaml" || { fail "$name: helm template"; continue; }
    "$kubeconform" -strict -summary -schema-location "$work/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$work/$name.yaml" >&2 ||
      fail "$name: kubeconform"
  done
done
exit "$failed"
