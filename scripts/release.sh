#!/usr/bin/env bash
# release.sh [--profile release|dev] [--arch LIST] [--url URL] OUT : makes what a release consists of in the folder OUT, with SHA256SUMS:
#   carrick-image-VERSION.tar              the image index (deploy/image/build.sh)
#   carrick-VERSION.tgz                    the Helm chart
#   carrick-manifests-VERSION.tar.gz       the manifests for kubectl, alerts and dashboard
#   carrickctl-VERSION-SYSTEM-ARCH.tar.gz  carrickctl with completions, manual pages and licences; also the plugin `kubectl carrick`
#   carrick.yaml                           the krew manifest of the plugin
#   carrick_VERSION_ARCH.deb, carrick-node-VERSION-ARCH.tar.gz
#                                          the agent with systemd units, for machines where Kubernetes does not run it
# The same commit gives the same files. Where carrickctl cannot be linked for a system, it is skipped, and the reason is printed.
#   --profile  cargo's profile (release)
#   --arch     the architectures (amd64,arm64)
#   --url      where the files will be downloaded from, for the krew manifest
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
source scripts/requirements.sh
show_help 15 "$@"

profile=release archs=amd64,arm64 url=https://example.invalid/carrick out=''
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=$2; shift 2 ;;
    --arch) archs=$2; shift 2 ;;
    --url) url=$2; shift 2 ;;
    -*) show_help 15 --help ;;
    *) out=$1; shift ;;
  esac
done
[ -n "$out" ] || show_help 15 --help
require cargo python3 tar gzip dpkg-deb
mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
grep -q "^## \[$version\]" CHANGELOG.md || say "note: CHANGELOG.md has no section [$version]"

archive() { # OUT.tar.gz DIRECTORY [ENTRY]
  tar --create --directory "$2" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=ustar "${3:-.}" |
    gzip -9n >"$1"
}
strip_to() { # ARCH FROM TO : a release is stripped already
  if [ "$profile" = release ]; then install -D -m 0755 "$2" "$3"; return; fi
  local machine=x86_64 program=strip
  [ "$1" = amd64 ] || machine=aarch64
  [ "$machine" = "$(uname -m)" ] || program=$machine-linux-gnu-strip
  install -d "$(dirname "$3")" && "$program" -o "$3" "$2"
}
target_of() { case $1 in amd64) echo x86_64-unknown-linux-musl ;; arm64) echo aarch64-unknown-linux-musl ;; esac; }

# One build for each architecture has all programs.
declare -A built
for arch in ${archs//,/ }; do
  built[$arch]=$(scripts/build-static.sh --profile "$profile" --arch "$arch" carrick-agent carrick-cni carrickctl)
done

deploy/image/build.sh --profile "$profile" --arch "$archs" "$out/carrick-image-$version.tar" >"$work/digest"
scripts/check-image.py "$out/carrick-image-$version.tar" >/dev/null

helm=$(scripts/check-chart.sh --tool helm)
# A package of links would be one of their targets, but Helm prints a line for each.
cp -rL deploy/chart "$work/chart"
"$helm" package "$work/chart" --destination "$work" >&2
# Helm's archive has the time at which it was made.
mkdir "$work/package" && tar -xzf "$work/carrick-$version.tgz" -C "$work/package"
archive "$out/carrick-$version.tgz" "$work/package" carrick
"$helm" lint "$out/carrick-$version.tgz" --namespace kube-system --quiet --set apiServer=https://203.0.113.1:6443 >&2

mkdir "$work/manifests" && cp -r deploy/*.yaml deploy/settings.env deploy/crd deploy/userspace-wireguard deploy/monitoring "$work/manifests/"
archive "$out/carrick-manifests-$version.tar.gz" "$work/manifests"

# Completions and manual pages do not depend on the architecture. This machine runs its own program.
case $(uname -m) in aarch64) own=arm64 ;; *) own=amd64 ;; esac
runner=()
[ -n "${built[$own]:-}" ] || { own=${archs%%,*}; require qemu-aarch64-static; runner=(qemu-aarch64-static); }
ctl() { "${runner[@]}" "${built[$own]}/carrickctl" "$@"; }
mkdir -p "$work/completions"
for shell in bash zsh fish powershell elvish; do ctl completions "$shell" >"$work/completions/carrickctl.$shell"; done
ctl man --directory "$work/man"
ctl man >"$work/man/carrickctl.1"

package_ctl() { # SYSTEM ARCH TARGET PROGRAM
  local root=$work/ctl-$1-$2
  mkdir -p "$root"
  cp -r "$work/completions" "$work/man" LICENSE "$root/"
  deploy/image/sbom.py "$3" carrickctl --sbom "$root/sbom.cdx.json" --licences "$root/licences-of-dependencies.txt"
  if [ "$1" = linux ]; then strip_to "$2" "$4" "$root/carrickctl"; else install -m 0755 "$4" "$root/$(basename "$4")"; fi
  archive "$out/carrickctl-$version-$1-$2.tar.gz" "$root"
  krew_platform "$1" "$2" "$(basename "$4")" >>"$work/platforms"
}
krew_platform() { # SYSTEM ARCH PROGRAM
  cat <<END
  - selector:
      matchLabels: {os: $1, arch: $2}
    uri: $url/carrickctl-$version-$1-$2.tar.gz
    sha256: $(sha256sum "$out/carrickctl-$version-$1-$2.tar.gz" | cut -d' ' -f1)
    bin: $3
END
}
for arch in ${archs//,/ }; do package_ctl linux "$arch" "$(target_of "$arch")" "${built[$arch]}/carrickctl"; done
if command -v x86_64-w64-mingw32-gcc >/dev/null && rustup target add x86_64-pc-windows-gnu 2>/dev/null; then
  cargo build --quiet --profile "$profile" --target x86_64-pc-windows-gnu -p carrickctl >&2
  package_ctl windows amd64 x86_64-pc-windows-gnu "$(target_directory)/x86_64-pc-windows-gnu/${profile/dev/debug}/carrickctl.exe"
else
  say "SKIPPED carrickctl for Windows: there is no x86_64-w64-mingw32-gcc (Debian's package gcc-mingw-w64-x86-64)"
fi
say "SKIPPED carrickctl for macOS: Apple's linker and libraries are needed; build it there with cargo build --release -p carrickctl"
cat >"$out/carrick.yaml" <<END
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: carrick
spec:
  version: v$version
  homepage: $url
  shortDescription: Inspect a mesh of clouds
  description: |
    Shows the state of Carrick, which connects the nodes of one cluster across clouds: status, doctor, trace, plan, latency, traffic.
  platforms:
$(cat "$work/platforms")
END

package_node() { # ARCH
  local root=$work/node-$1
  for program in carrick carrick-cni; do strip_to "$1" "${built[$1]}/$program" "$root/usr/lib/carrick/$program"; done
  strip_to "$1" "${built[$1]}/carrickctl" "$root/usr/bin/carrickctl"
  ln -s ../lib/carrick/carrick "$root/usr/bin/carrick"
  install -D -m 0644 -t "$root/usr/lib/systemd/system" deploy/systemd/*.service
  install -D -m 0644 deploy/systemd/carrick.default "$root/etc/default/carrick"
  install -D -m 0644 "$work/completions/carrickctl.bash" "$root/usr/share/bash-completion/completions/carrickctl"
  install -d "$root/usr/share/man/man1" "$root/usr/share/doc/carrick"
  for page in "$work"/man/*.1; do gzip -9n <"$page" >"$root/usr/share/man/man1/$(basename "$page").gz"; done
  install -m 0644 LICENSE "$root/usr/share/doc/carrick/copyright"
  deploy/image/sbom.py "$(target_of "$1")" carrick-agent carrick-cni carrickctl --sbom "$root/usr/share/doc/carrick/sbom.cdx.json" \
    --licences "$root/usr/share/doc/carrick/licences-of-dependencies.txt"
  archive "$out/carrick-node-$version-$1.tar.gz" "$root"
  mkdir "$root/DEBIAN"
  echo /etc/default/carrick >"$root/DEBIAN/conffiles"
  cat >"$root/DEBIAN/control" <<END
Package: carrick
Version: $version
Architecture: $1
Maintainer: The Carrick authors <carrick@example.invalid>
Section: net
Priority: optional
Homepage: $url
Description: Connects the nodes of one Kubernetes cluster across clouds
 The agent of a node, its CNI plugin, and the tool carrickctl, as static programs with systemd units. Clusters that run the agent as a
 DaemonSet do not need this package.
END
  dpkg-deb --root-owner-group --build "$root" "$out/carrick_${version}_$1.deb" >&2
}
for arch in ${archs//,/ }; do package_node "$arch"; done

(cd "$out" && find . -maxdepth 1 -type f -not -name SHA256SUMS -printf '%f\n' | sort | xargs sha256sum >SHA256SUMS)
say "the image has the digest $(cat "$work/digest")"
say "$(wc -l <"$out/SHA256SUMS") files are in $out"
