#!/usr/bin/env bash
# join-node.sh DISTRIBUTION --server ADDRESS --location NAME [OPTION...] : joins this machine to a cluster with Carrick, and waits until the
# node works. DISTRIBUTION is kubeadm or k3s. The token is in the environment variable JOIN_TOKEN or in a file, so that no process
# list shows it. The command can be repeated: a machine that has joined is not joined again. For cloud-init, run it from `runcmd`.
# It needs root, bash, curl, systemd, and the programs of the distribution: kubelet, kubeadm and a container runtime, or k3s.
#   --server ADDRESS      the API server: HOST:PORT for kubeadm, https://HOST:PORT for k3s
#   --location NAME       the node's location, as the label of --location-label
#   --location-label KEY  the label that names locations (topology.kubernetes.io/region)
#   --token-file FILE     a file with the token
#   --ca-hash HASH        sha256:…, from `kubeadm token create --print-join-command`; kubeadm only
#   --label KEY=VALUE     another label of the Node; may be repeated
#   --taint KEY[=VALUE]:EFFECT  a taint of the Node; may be repeated
#   --node-name NAME      the name of the Node (the host name)
#   --kubeconfig FILE     also wait with `carrickctl wait`, which needs this kubeconfig
#   --within SECONDS      how long to wait for each step after the join (600)
#   --check               examine the machine, and change nothing
#   --undo                take the machine out of the cluster again; only where this script joined it
# Labels and taints count at the first registration only. Exit status: 0 the node works, 1 it does not, 2 the command line is wrong.
set -euo pipefail

readonly STATE=/var/lib/carrick-join
readonly SYSCTL=/etc/sysctl.d/90-carrick-join.conf
readonly K3S_CONFIG=/etc/rancher/k3s/config.yaml.d/carrick-join.yaml
readonly K3S_UNIT=/etc/systemd/system/k3s-agent.service
readonly PAGES=http://127.0.0.1:1107
# The oldest kernel that Carrick is tested with.
readonly OLDEST_KERNEL=5.10
# What the machine's clock may differ from that of the API server. Certificates and tokens have times.
readonly MOST_SECONDS_APART=60

say() { printf 'join-node: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }
refuse() { say "$*"; say "see: $0 --help"; exit 2; }
faults=0
fault() { faults=$((faults + 1)); say "NOT OK  $*"; }
ok() { say "ok      $*"; }
verify() { # OK FAULT COMMAND...
  if "${@:3}"; then ok "$1"; else fault "$2"; fi
}

# The options.
distribution='' server='' location='' location_label=topology.kubernetes.io/region token_file='' ca_hash='' node_name='' kubeconfig=''
within=600 action=join labels=() taints=()
while [ $# -gt 0 ]; do
  case $1 in --server | --location | --location-label | --token-file | --ca-hash | --label | --taint | --node-name | --kubeconfig | --within)
    [ $# -ge 2 ] || refuse "$1 needs a value" ;;
  esac
  case $1 in
    kubeadm | k3s) distribution=$1; shift ;;
    --server) server=$2; shift 2 ;;
    --location) location=$2; shift 2 ;;
    --location-label) location_label=$2; shift 2 ;;
    --token-file) token_file=$2; shift 2 ;;
    --ca-hash) ca_hash=$2; shift 2 ;;
    --label) labels+=("$2"); shift 2 ;;
    --taint) taints+=("$2"); shift 2 ;;
    --node-name) node_name=$2; shift 2 ;;
    --kubeconfig) kubeconfig=$2; shift 2 ;;
    --within) within=$2; shift 2 ;;
    --check) action=check; shift ;;
    --undo) action=undo; shift ;;
    -h | --help) sed -n '2,18p' "$0" | sed 's/^# \{0,1\}//'; exit ;;
    *) refuse "unknown argument: $1" ;;
  esac
done

readonly NAME='[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?'
readonly KEY="([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?$NAME"

# A label that a kubelet may give its own Node (the admission plugin NodeRestriction).
validate_label() { # KEY=VALUE
  local key=${1%%=*} prefix=''
  [[ $1 =~ ^$KEY=($NAME)?$ ]] || refuse "--label $1: write KEY=VALUE, as Kubernetes permits it in labels"
  [[ $key != */* ]] || prefix=${key%%/*}
  case $key in
    carrick.dev/*) refuse "--label $1: Carrick's settings are annotations; run: kubectl annotate node NODE $1" ;;
    topology.kubernetes.io/region | topology.kubernetes.io/zone | kubernetes.io/hostname | kubernetes.io/arch | kubernetes.io/os) return ;;
  esac
  case $prefix in
    node.kubernetes.io | *.node.kubernetes.io | kubelet.kubernetes.io | *.kubelet.kubernetes.io) ;;
    kubernetes.io | *.kubernetes.io | k8s.io | *.k8s.io)
      refuse "--label $1: a kubelet may not set this label of its Node; run: kubectl label node NODE $1" ;;
  esac
}

validate() {
  local label taint
  [ -n "$distribution" ] || refuse "name the distribution: kubeadm or k3s"
  [ -n "$location" ] || refuse "--location is missing"
  [[ $location =~ ^$NAME$ ]] || refuse "--location $location: letters, digits, '-', '_' and '.', at most 63"
  labels=("$location_label=$location" "${labels[@]}")
  for label in "${labels[@]}"; do validate_label "$label"; done
  for taint in "${taints[@]}"; do
    [[ $taint =~ ^$KEY(=($NAME)?)?:(NoSchedule|PreferNoSchedule|NoExecute)$ ]] || refuse "--taint $taint: write KEY=VALUE:NoSchedule, or another effect"
  done
  [ -n "$node_name" ] || node_name=$(uname -n | tr '[:upper:]' '[:lower:]')
  [[ $node_name =~ ^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$ ]] || refuse "--node-name $node_name: Kubernetes does not permit this name"
  [[ $within =~ ^[0-9]+$ ]] || refuse "--within $within: write a number of seconds"
  case $distribution in
    kubeadm)
      [[ $server =~ ^[][A-Za-z0-9.:-]+:[0-9]+$ ]] || refuse "--server '$server': write HOST:PORT"
      [[ $ca_hash =~ ^sha256:[0-9a-f]{64}$ ]] || refuse "--ca-hash '$ca_hash': write sha256: and 64 hexadecimal digits" ;;
    k3s) [[ $server =~ ^https://[][A-Za-z0-9.:-]+$ ]] || refuse "--server '$server': write https://HOST:PORT" ;;
  esac
}

token() {
  local token=${JOIN_TOKEN:-}
  if [ -n "$token_file" ]; then
    [ -r "$token_file" ] || refuse "--token-file $token_file cannot be read"
    token=$(tr -d '[:space:]' <"$token_file")
  fi
  [[ $token =~ ^[A-Za-z0-9.:_-]+$ ]] || refuse "there is no token: set JOIN_TOKEN or --token-file"
  printf '%s\n' "$token"
}

# What the machine has.
credential() { if [ "$1" = kubeadm ]; then echo /etc/kubernetes/kubelet.conf; else echo /var/lib/rancher/k3s/agent/kubelet.kubeconfig; fi; }
is_joined() { [ -e "$(credential "$distribution")" ]; }
is_control_plane() { [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ] || [ -e /var/lib/rancher/k3s/server ]; }
is_installed() { command -v "$1" >/dev/null; }
has_runtime() { [ -S /run/containerd/containerd.sock ] || [ -S /run/crio/crio.sock ]; }
has_module() { [ -e "/sys/module/$1" ] || modprobe --quiet --dry-run "$1" 2>/dev/null; }
# Whether a socket is bound to a port: /proc/net has hexadecimal ports. State 0A is a TCP socket that listens.
is_taken() { # udp|tcp PORT
  local hexadecimal state='..'
  hexadecimal=$(printf %04X "$2")
  [ "$1" = udp ] || state=0A
  grep -Eqs "^ *[0-9]+: [0-9A-F]+:$hexadecimal [0-9A-F]+:[0-9A-F]{4} $state " "/proc/net/$1" "/proc/net/${1}6"
}

check_programs() {
  local program missing=()
  for program in curl systemctl; do is_installed "$program" || missing+=("$program"); done
  verify "curl and systemctl are installed" "not installed: ${missing[*]}" [ ${#missing[@]} = 0 ]
  verify "systemd runs" "systemd does not run; start the kubelet with the labels of this command yourself" [ -d /run/systemd/system ]
  if [ "$distribution" = k3s ]; then
    verify "k3s is installed" \
      "k3s is not installed; install the version of the server: curl -sfL https://get.k3s.io | INSTALL_K3S_VERSION=VERSION INSTALL_K3S_SKIP_ENABLE=true INSTALL_K3S_EXEC=agent sh -" \
      is_installed k3s
    return
  fi
  for program in kubeadm kubelet; do
    verify "$program is installed" \
      "$program is not installed; see https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/" \
      is_installed "$program"
  done
  verify "a container runtime runs" \
    "no container runtime runs; see https://kubernetes.io/docs/setup/production-environment/container-runtimes/" has_runtime
}

check_kernel() {
  local release
  release=$(uname -r)
  if [ "$(printf '%s\n' "$OLDEST_KERNEL" "${release%%[!0-9.]*}" | sort -V | head -n 1)" = "$OLDEST_KERNEL" ]; then ok "Linux $release"; else fault "Linux $release is older than $OLDEST_KERNEL"; fi
  if has_module wireguard; then ok "the kernel has WireGuard"
  elif [ -c /dev/net/tun ]; then ok "the kernel has no WireGuard, and /dev/net/tun for that in userspace"
  else fault "the kernel has neither WireGuard (module wireguard) nor /dev/net/tun (module tun)"; fi
  verify "the kernel has nftables" "the kernel has no nftables (module nf_tables)" has_module nf_tables
  verify "the kernel has VXLAN" "the kernel has no VXLAN (module vxlan)" has_module vxlan
  verify "packets can be forwarded" "/proc/sys/net/ipv4/ip_forward cannot be written" [ -w /proc/sys/net/ipv4/ip_forward ]
}

check_ports() {
  local port taken=()
  for port in 51820 51821 51822 51823; do if is_taken udp "$port"; then taken+=("UDP $port"); fi; done
  for port in 1107 10250; do if is_taken tcp "$port"; then taken+=("TCP $port"); fi; done
  verify "the ports are free" "other programs use ports of Carrick or of the kubelet: ${taken[*]}" [ ${#taken[@]} = 0 ]
}

check_server() {
  local head date apart
  if ! head=$(curl --silent --show-error --insecure --head --max-time 10 "https://${server#https://}/" 2>&1); then
    fault "the API server does not answer: $head"
    return
  fi
  ok "the API server answers"
  date=$(printf '%s\n' "$head" | tr -d '\r' | sed -n 's/^[Dd]ate: //p')
  [ -n "$date" ] || return 0
  apart=$(($(date +%s) - $(date --date="$date" +%s)))
  if [ "${apart#-}" -le "$MOST_SECONDS_APART" ]; then ok "the clock agrees with that of the API server"
  else fault "the clock differs from that of the API server by $apart s; synchronise it, for instance with systemd-timesyncd or chrony"; fi
}

check() {
  case $(uname -s)/$(uname -m) in
    Linux/x86_64) ok "the architecture is amd64" ;;
    Linux/aarch64) ok "the architecture is arm64" ;;
    *) fault "there is no Carrick for $(uname -s) on $(uname -m)" ;;
  esac
  verify "root" "this needs root" [ "$(id -u)" = 0 ]
  if is_control_plane; then fault "this machine is a server of a cluster"; else ok "this machine is no server of a cluster"; fi
  check_programs
  check_kernel
  # A node that has joined uses these ports itself.
  is_joined || check_ports
  check_server
  [ "$faults" = 0 ] || stop "$faults of the checks failed; nothing was changed"
}

# The join.
config_file() { # FILE : a file that only root can read
  install -d -m 0700 "$(dirname "$1")"
  install -m 0600 /dev/null "$1" && cat >"$1"
}

taint_yaml() { # KEY[=VALUE]:EFFECT
  local key=${1%:*} value=''
  case $key in *=*) value=${key#*=} key=${key%%=*} ;; esac
  printf '  - {key: "%s", value: "%s", effect: %s}\n' "$key" "$value" "${1##*:}"
}

kubeadm_config() { # LABELS
  local minor version=v1beta4 arguments taint
  minor=$(kubeadm version --output short | sed -n 's/^v1\.\([0-9]*\).*/\1/p')
  printf -v arguments '  - {name: node-labels, value: "%s"}' "$1"
  if [ "${minor:-0}" -lt 31 ]; then version=v1beta3; printf -v arguments '    node-labels: "%s"' "$1"; fi
  cat <<END
apiVersion: kubeadm.k8s.io/$version
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: "$server"
    token: "$join_token"
    caCertHashes: ["$ca_hash"]
nodeRegistration:
  name: "$node_name"
  kubeletExtraArgs:
$arguments
END
  [ ${#taints[@]} = 0 ] || echo '  taints:'
  for taint in "${taints[@]}"; do taint_yaml "$taint"; done
}

join_with_kubeadm() { # LABELS
  # kubeadm refuses a machine that does not forward.
  install -d /etc/sysctl.d
  echo 'net.ipv4.ip_forward = 1' >"$SYSCTL"
  echo 1 >/proc/sys/net/ipv4/ip_forward
  kubeadm_config "$1" | config_file "$STATE/kubeadm.yaml"
  local code=0
  kubeadm join --config "$STATE/kubeadm.yaml" >&2 || code=$?
  rm -f "$STATE/kubeadm.yaml"
  [ "$code" = 0 ] || stop "kubeadm failed (status $code); $0 --undo removes what it left"
}

join_with_k3s() {
  { printf 'server: "%s"\ntoken: "%s"\nnode-name: "%s"\nnode-label:\n' "$server" "$join_token" "$node_name"
    printf -- '- "%s"\n' "${labels[@]}"
    [ ${#taints[@]} = 0 ] || { echo node-taint:; printf -- '- "%s"\n' "${taints[@]}"; }
  } | config_file "$K3S_CONFIG"
  if ! systemctl cat k3s-agent >/dev/null 2>&1; then
    touch "$STATE/unit"
    install -d "$(dirname "$K3S_UNIT")"
    cat >"$K3S_UNIT" <<END
[Unit]
Description=Node of a k3s cluster
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart=$(command -v k3s) agent
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
TasksMax=infinity
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
END
    systemctl daemon-reload
  fi
  systemctl enable --now k3s-agent >&2 || stop "k3s-agent did not start; see: journalctl -u k3s-agent"
}

# The progress.
await() { # TEXT COMMAND... : until the command succeeds. Each new line that it prints is told.
  local text=$1 began=$SECONDS before='' now
  shift
  until now=$("$@"); do
    if [ "$now" != "$before" ]; then say "waiting for: $text${now:+ ($now)}"; fi
    before=$now
    [ $((SECONDS - began)) -lt "$within" ] || stop "after $within s still waiting for: $text${now:+ ($now)}"
    sleep 1
  done
  ok "$text"
}
page() { curl --silent --max-time 5 "$@"; }
agent_runs() { page --fail "$PAGES/healthz" >/dev/null; }
# The numbers of a metric whose labels match, added up.
metric() { page "$PAGES/metrics" | awk -v name="$1" -v labels="$2" 'index($0, name) == 1 && $0 ~ labels { sum += $NF; seen++ } END { print sum + 0, seen + 0 }'; }
node_is_ready() { page --fail "$PAGES/readyz" >/dev/null || { page "$PAGES/readyz" | head -n 1; return 1; }; }
paths_are_up() {
  local up other
  read -r up _ <<<"$(metric 'carrick_paths{' 'state="(up|agent-away)"')"
  read -r other _ <<<"$(metric 'carrick_paths{' 'state="(unknown|down)"')"
  if [ "$other" = 0 ] && [ "$up" != 0 ]; then return; fi
  echo "$up paths are up, $other are not"
  return 1
}

follow() {
  await "the kubelet's credential: the node is registered" is_joined
  await "Carrick's agent: its pod runs on the node" agent_runs
  await "the node is ready: it has a key, and the kernel carries the mesh" node_is_ready
  await "paths to other nodes, over tunnels to every location" paths_are_up
  [ -n "$kubeconfig" ] || return 0
  is_installed carrickctl || stop "--kubeconfig needs carrickctl, which is not installed"
  carrickctl --kubeconfig "$kubeconfig" wait "$node_name" --within "$within" >&2
}

undo() {
  [ "$(id -u)" = 0 ] || stop "this needs root"
  [ -e "$STATE/distribution" ] || stop "this script did not join the machine; nothing was changed"
  if is_control_plane; then stop "this machine is a server of a cluster; nothing was changed"; fi
  distribution=$(<"$STATE/distribution") node_name=$(<"$STATE/node-name")
  case $distribution in
    kubeadm) kubeadm reset --force >&2 || stop "kubeadm reset failed; run $0 --undo again" ;;
    k3s)
      systemctl disable --now k3s-agent >&2 || say "k3s-agent could not be stopped"
      if is_installed k3s-killall.sh; then k3s-killall.sh >&2; fi
      if [ -e "$STATE/unit" ]; then rm -f "$K3S_UNIT" && systemctl daemon-reload; fi
      rm -rf "$K3S_CONFIG" /var/lib/rancher/k3s/agent /etc/rancher/node ;;
  esac
  rm -f "$SYSCTL"
  if is_installed carrick; then carrick cleanup --files --state >&2
  else say "Carrick's devices, rules and files stay until they are removed: docs/operations.md, 'Remove a node', step 4"; fi
  rm -rf "$STATE"
  say "the machine has left; with a credential of the cluster run: kubectl delete node $node_name"
}

if [ "$action" = undo ]; then undo; exit; fi
validate
if [ "$action" = join ] && ! is_joined; then join_token=$(token); fi
check
[ "$action" != check ] || exit 0
if is_joined; then
  say "this machine has joined a cluster; its labels and taints stay"
else
  install -d -m 0700 "$STATE"
  echo "$distribution" >"$STATE/distribution"
  echo "$node_name" >"$STATE/node-name"
  say "joining as $node_name in $location"
  all=$(IFS=,; echo "${labels[*]}")
  if [ "$distribution" = kubeadm ]; then join_with_kubeadm "$all"; else join_with_k3s; fi
fi
follow
say "$node_name works"
