#!/usr/bin/env bash
# test-join-node.sh : runs scripts/join-node.sh in bare Debian and Ubuntu roots (debootstrap), in namespaces of their own. kubeadm, kubelet,
# k3s and systemctl are programs of the test that record their arguments; the API server and the agent's pages are a server of the test.
# The roots stay in ~/.cache/carrick/roots.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
source scripts/requirements.sh

readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/carrick/roots
readonly HASH=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

bootstrap() { # NAME SUITE MIRROR [OPTION...]
  [ -e "$CACHE/$1/etc/os-release" ] && return
  mkdir -p "$CACHE"
  say "making a root of $1"
  rm -rf "$CACHE/$1.part"
  debootstrap --variant=minbase --include=ca-certificates,curl,kmod "${@:4}" "$2" "$CACHE/$1.part" "$3" >"$CACHE/$1.log" 2>&1 || { tail -n 3 "$CACHE/$1.log" >&2; return 1; }
  mv "$CACHE/$1.part" "$CACHE/$1"
}

# What is inside of the namespaces: the functions below, for one root.
inside() { # ROOT
  local upper=/mnt/join-test
  mount --make-rprivate /
  mkdir -p "$upper" && mount -t tmpfs tmpfs "$upper"
  mkdir "$upper"/{upper,work,root,pages}
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$upper/upper,workdir=$upper/work" "$upper/root"
  root=$upper/root pages=$upper/pages
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  ip link set lo up
  install -m 0755 scripts/join-node.sh "$root/usr/local/sbin/join-node.sh"
  mkdir -p "$root/run/systemd/system" "$root/run/containerd" "$root/calls"
  python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$root/run/containerd/containerd.sock"
  fakes
  tests/join-node/pages.py "$pages" &
  server=$!
  trap 'kill "$server"' EXIT
  until curl -so /dev/null http://127.0.0.1:1108/; do sleep 0.1; done
  cases
}

fake() { # NAME : a program that records its arguments, and does what its standard input says
  { printf '#!/bin/bash\nprintf "%%s\\n" "%s $*" >>/calls/log\n' "$1"; cat; } >"$root/usr/local/bin/$1"
  chmod +x "$root/usr/local/bin/$1"
}

fakes() {
  fake kubelet </dev/null
  fake kubeadm <<'END'
case $1 in
  version) cat /calls/version ;;
  join) cp "$3" /calls/kubeadm.yaml; stat -c %a "$3" >/calls/mode; [ ! -e /calls/fail ] || exit 1; mkdir -p /etc/kubernetes; touch /etc/kubernetes/kubelet.conf; curl -s http://127.0.0.1:1108/start ;;
  reset) rm -rf /etc/kubernetes; curl -s http://127.0.0.1:1108/stop ;;
esac
END
  fake k3s </dev/null
  fake systemctl <<'END'
case $1 in
  cat) [ -e /etc/systemd/system/k3s-agent.service ] ;;
  enable) mkdir -p /var/lib/rancher/k3s/agent; touch /var/lib/rancher/k3s/agent/kubelet.kubeconfig; curl -s http://127.0.0.1:1108/start ;;
  disable) curl -s http://127.0.0.1:1108/stop ;;
esac
END
  # The root has no /sys, so modprobe alone tells which modules there are.
  fake modprobe <<'END'
[ ! -e "/calls/no-${!#}" ]
END
  echo v1.34.1 >"$root/calls/version"
}

join() { # CODE ARGUMENT...
  local code=0 expected=$1
  : >"$root/calls/log"
  chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin JOIN_TOKEN="${TOKEN-abcdef.0123456789abcdef}" \
    join-node.sh "${@:2}" >"$pages/out" 2>&1 || code=$?
  [ "$code" = "$expected" ] || failed "status $code instead of $expected: ${*:2}"
}
failed() { say "FAILED: $*"; cat "$pages/out" >&2; exit 1; }
says() { grep -qF -- "$1" "$pages/out" || failed "the output lacks: $1"; }
called() { grep -qxF -- "$1" "$root/calls/log" || failed "no such call: $1: $(cat "$root/calls/log")"; }
not_called() { ! grep -q "^$1" "$root/calls/log" || failed "called: $1"; }
has() { grep -qF -- "$2" "$root/$1" || failed "$1 lacks $2: $(cat "$root/$1")"; }
gone() { [ ! -e "$root/$1" ] || failed "$1 is still there"; }
agent() { # READY PATHS...
  printf '%s\n' "$1" >"$pages/ready"
  printf 'carrick_paths{from="b",to="a",kind="tunnel",state="%s"} %s\n' "${@:2}" >"$pages/metrics"
}

readonly KUBEADM=(kubeadm --server 127.0.0.1:6443 --ca-hash "$HASH" --location basel --node-name b1 --within 3)
readonly K3S=(k3s --server https://127.0.0.1:6443 --location basel --node-name b1 --within 3)

cases() {
  agent ok up 2 down 0
  wrong_arguments_change_nothing
  faults_of_the_machine_are_named
  kubeadm_joins_once_and_is_undone
  k3s_joins_once_and_is_undone
  what_is_missing_after_the_join_is_named
}

wrong_arguments_change_nothing() {
  join 2 "${KUBEADM[@]}" --label node-restriction.kubernetes.io/x=y && says "kubectl label node"
  join 2 "${KUBEADM[@]}" --label node-role.kubernetes.io/worker=
  join 2 "${KUBEADM[@]}" --label carrick.dev/gateway=never && says "kubectl annotate node"
  join 2 "${KUBEADM[@]}" --location 'a b' && join 2 "${KUBEADM[@]}" --location '"'
  join 2 "${KUBEADM[@]}" --taint x:Sometimes && join 2 "${KUBEADM[@]}" --ca-hash sha256:00 && join 2 "${KUBEADM[@]}" --server
  join 2 "${K3S[@]}" --server 127.0.0.1:6443 && join 2
  TOKEN='' join 2 "${KUBEADM[@]}" && says "there is no token"
  TOKEN='a"b' join 2 "${KUBEADM[@]}"
  not_called "kubeadm join"
  gone var/lib/carrick-join
}

faults_of_the_machine_are_named() {
  touch "$root/calls/no-vxlan"
  join 1 "${KUBEADM[@]}" --check
  says "the kernel has no VXLAN"
  rm "$root/calls/no-vxlan"
  mv "$root/usr/local/bin/kubeadm" "$root/calls/"
  join 1 "${KUBEADM[@]}" && says "kubeadm is not installed; see https://kubernetes.io/" && says "nothing was changed"
  mv "$root/calls/kubeadm" "$root/usr/local/bin/"
  python3 -c 'import socket, time; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", 51820)); time.sleep(60)' &
  local other=$!
  # The machine's /proc belongs to another namespace of processes.
  until grep -q :CA6C "$root/proc/net/udp6"; do sleep 0.1; done
  join 1 "${KUBEADM[@]}" && says "UDP 51820"
  kill "$other"
  join 1 "${KUBEADM[@]}" --server 127.0.0.1:6444 && says "the API server does not answer"
  echo 3600 >"$pages/ahead"
  join 1 "${KUBEADM[@]}" && says "the clock differs from that of the API server by -36"
  rm "$pages/ahead"
  mkdir -p "$root/etc/kubernetes/manifests" && touch "$root/etc/kubernetes/manifests/kube-apiserver.yaml"
  join 1 "${KUBEADM[@]}" && says "this machine is a server of a cluster"
  rm -r "$root/etc/kubernetes"
  join 0 "${KUBEADM[@]}" --check
  not_called "kubeadm join"
  gone var/lib/carrick-join
}

kubeadm_joins_once_and_is_undone() {
  join 0 "${KUBEADM[@]}" --label node.kubernetes.io/disk=ssd --taint edge=yes:NoSchedule --taint quiet:NoExecute
  called "kubeadm join --config /var/lib/carrick-join/kubeadm.yaml"
  says "b1 works"
  has calls/kubeadm.yaml 'kubeadm.k8s.io/v1beta4'
  has calls/kubeadm.yaml '- {name: node-labels, value: "topology.kubernetes.io/region=basel,node.kubernetes.io/disk=ssd"}'
  has calls/kubeadm.yaml '- {key: "edge", value: "yes", effect: NoSchedule}'
  has calls/kubeadm.yaml '- {key: "quiet", value: "", effect: NoExecute}'
  has calls/kubeadm.yaml 'token: "abcdef.0123456789abcdef"'
  has calls/mode 600
  gone var/lib/carrick-join/kubeadm.yaml
  ! grep -q abcdef "$root/calls/log" "$pages/out" || failed "the token is visible"
  join 0 "${KUBEADM[@]}" && says "has joined" && not_called "kubeadm join"
  join 0 --undo && called "kubeadm reset --force" && says "kubectl delete node b1"
  gone var/lib/carrick-join && gone etc/sysctl.d/90-carrick-join.conf
  join 1 --undo && says "this script did not join the machine" && not_called "kubeadm reset"
  # An older kubeadm, and one that fails.
  echo v1.30.4 >"$root/calls/version" && touch "$root/calls/fail"
  join 1 "${KUBEADM[@]}" && says "--undo removes"
  has calls/kubeadm.yaml 'kubeadm.k8s.io/v1beta3'
  has calls/kubeadm.yaml '    node-labels: "topology.kubernetes.io/region=basel"'
  gone var/lib/carrick-join/kubeadm.yaml
  rm "$root/calls/fail"
  join 0 --undo
}

k3s_joins_once_and_is_undone() {
  local config=etc/rancher/k3s/config.yaml.d/carrick-join.yaml
  join 0 "${K3S[@]}" --taint edge:NoSchedule
  called "systemctl enable --now k3s-agent"
  has "$config" 'server: "https://127.0.0.1:6443"'
  has "$config" '- "topology.kubernetes.io/region=basel"'
  has "$config" '- "edge:NoSchedule"'
  has etc/systemd/system/k3s-agent.service 'ExecStart=/usr/local/bin/k3s agent'
  [ "$(stat -c %a "$root/$config")" = 600 ] || failed "the token can be read"
  join 0 "${K3S[@]}" && not_called "systemctl enable"
  join 0 --undo && called "systemctl disable --now k3s-agent"
  gone "$config" && gone etc/systemd/system/k3s-agent.service && gone var/lib/rancher/k3s/agent
}

what_is_missing_after_the_join_is_named() {
  agent "not ready: no pod CIDR yet" up 2
  join 1 "${KUBEADM[@]}" && says "after 3 s still waiting for: the node is ready" && says "no pod CIDR yet"
  agent ok up 1 down 1
  join 1 "${KUBEADM[@]}" && says "1 paths are up, 1 are not"
  agent ok up 2 down 0
  join 0 "${KUBEADM[@]}"
  join 0 --undo
}

if [ "${1:-}" = --inside ]; then
  inside "$2"
  exit
fi
require debootstrap python3 unshare ip curl openssl
bootstrap debian bookworm http://deb.debian.org/debian
[ -e /usr/share/debootstrap/scripts/noble ] || ubuntu=(gutsy)
bootstrap ubuntu noble http://archive.ubuntu.com/ubuntu --no-check-gpg --components=main,universe "${ubuntu[@]}"
for name in debian ubuntu; do
  unshare --mount --net --pid --fork -- "$0" --inside "$CACHE/$name"
  say "join-node.sh works in a root of $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' "$CACHE/$name/etc/os-release")"
done
