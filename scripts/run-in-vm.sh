#!/usr/bin/env bash
# run-in-vm.sh [OPTION...] COMMAND : a shell command as root in a virtual machine that lives as long as the command, with
# Debian's stock kernel. It sees this machine's files; what it writes is gone afterwards. It has no network but its own.
#   -k SUITE          the kernel of another suite of Debian, such as bullseye (that of this machine's sources)
#   -l MODULE,MODULE  kernel modules to load before (none; `modprobe` works inside)
#   -t SECONDS        how long it may take (300)
#   -a ARGUMENTS      further arguments on the kernel's command line, such as ipv6.disable=1 (none)
#   -m MiB            memory (2048)
#   -c NUMBER         processors (1)
#   -v                says how long it took
# Output and exit code are the command's own; 124: it took too long, 125: there was no virtual machine, or it died.
# The first run downloads the kernel, 70 MB, into $XDG_CACHE_HOME/carrick/vm (default ~/.cache), where it takes 400 MB.
# Without vmx or svm in /proc/cpuinfo the processor is emulated, which is slow: for right and wrong, not for speed.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
source "$here/requirements.sh"

readonly KERNEL_PACKAGE=linux-image-amd64
# What the first stage needs to see this machine's files, and the command's output needs to get out.
readonly BOOT_MODULES=(virtio_pci 9pnet_virtio 9p overlay virtio_console virtio-rng)
readonly MOUNT_OPTIONS=trans=virtio,version=9p2000.L,msize=262144

die() { say "run-in-vm: $*"; exit 125; }
usage() { sed -n '2,13p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 125; }

modules='' arguments='' seconds=300 memory=2048 processors=1 verbose='' suite=''
while getopts k:a:l:t:m:c:v option; do
  case $option in
    k) suite=$OPTARG ;;
    l) modules=$OPTARG ;;
    a) arguments=$OPTARG ;;
    t) seconds=$OPTARG ;;
    m) memory=$OPTARG ;;
    c) processors=$OPTARG ;;
    v) verbose=1 ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# = 1 ] || usage
command=$1

[ "$(uname -m)" = x86_64 ] || die "the virtual machine is of x86_64, this machine is not"
require qemu-system-x86_64 busybox modprobe depmod cpio xz flock timeout || exit 125
if ldd "$(command -v busybox)" >/dev/null 2>&1; then
  die "busybox is dynamically linked; install the static one with: sudo apt-get install busybox-static"
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/carrick/vm
mkdir -p "$cache"
run=''
# One virtual machine at a time, prepared once.
exec 9>"$cache/.lock"
flock -n 9 || { say "run-in-vm: another one is running, waiting for it"; flock 9; }

# Where apt keeps what it knows of another suite: this machine's own sources stay as they are.
readonly APT=$cache/apt-$suite
apt() { # PROGRAM ARGUMENT...
  local program=$1
  shift
  if [ -z "$suite" ]; then "$program" "$@"; return; fi
  "$program" -o "Dir::Etc=$APT" -o "Dir::State::lists=$APT/lists" -o "Dir::Cache=$APT/cache" -o "Dir::State::status=$APT/status" \
    -o APT::Sandbox::User=root "$@"
}

# The lists of the suite, from the server that this machine's sources name.
add_suite() {
  [ -n "$suite" ] || return 0
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg server
  server=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m 1 -v security) || die "apt-get knows no server of Debian's packages"
  rm -rf "$APT"
  mkdir -p "$APT"/{lists/partial,cache/archives/partial,sources.list.d,preferences.d}
  touch "$APT/status"
  echo "deb [signed-by=$keys] $server $suite main" >"$APT/sources.list"
  apt apt-get -qq update >"$APT/log" 2>&1 && [ -n "$(ls "$APT"/lists/*Packages* 2>/dev/null)" ] ||
    die "there are no lists of Debian's suite $suite at $server: $(tail -n 1 "$APT/log")"
}

# The kernel's package, unpacked, with the uncompressed kernel and a first stage beside it.
prepare() { # DIRECTORY
  local package version kernel program
  for program in apt-cache apt-get dpkg; do
    command -v "$program" >/dev/null || die "there is no $program here to get Debian's kernel with"
  done
  say "run-in-vm: downloading Debian's kernel${suite:+ of $suite}, once ..."
  add_suite
  package=$(dependencies "$KERNEL_PACKAGE" | grep -m 1 '^linux-image-')
  [ -n "$package" ] || die "apt-cache knows no $KERNEL_PACKAGE: this needs Debian's package sources, and apt-get update"
  mkdir -p "$1/download" "$1/root"
  # Since Linux 7 the kernel and its modules are packages of their own, of the same version.
  for package in "$package" $(dependencies "$package" | grep -- "-${package#linux-image-}\$"); do
    (cd "$1/download" && apt apt-get -qq download "$package" 2>/dev/null) ||
      die "apt-get cannot download $package; is its list old? try: sudo apt-get update"
    dpkg -x "$1/download/"*.deb "$1/root"
    rm "$1/download/"*.deb
  done
  rm -r "$1/download"
  # Since Debian 13 the files are below /usr.
  if [ -d "$1/root/usr/lib/modules" ]; then
    mkdir -p "$1/root/lib/modules"
    cp -al "$1/root/usr/lib/modules/." "$1/root/lib/modules/"
  fi
  version=$(basename "$1/root/lib/modules/"*)
  depmod -b "$1/root" "$version"
  echo "$version" >"$1/version"
  kernel=$1/root/boot/vmlinuz-$version
  [ -e "$kernel" ] || kernel=$1/root/lib/modules/$version/vmlinuz
  [ -e "$kernel" ] || die "there is no kernel in $package"
  uncompress_kernel "$kernel" "$1/kernel"
  make_first_stage "$1" "$version"
}

# The packages that a package depends on.
dependencies() { # PACKAGE
  apt apt-cache depends "$1" 2>/dev/null | awk '$1 == "Depends:" { print $2 }'
}

# An emulated processor would take seconds to do this at each start.
uncompress_kernel() { # COMPRESSED KERNEL
  local offset
  for offset in $(LC_ALL=C grep -aboP '\xFD7zXZ\x00' "$1" | cut -d: -f1); do
    # What follows the compressed part is an error to xz.
    { tail -c "+$((offset + 1))" "$1" | xz -dcq >"$2" 2>/dev/null; } || true
    if [ "$(head -c 4 "$2" | tail -c 3)" = ELF ]; then return; fi
  done
  for offset in $(LC_ALL=C grep -aboP '\x28\xB5\x2F\xFD' "$1" | cut -d: -f1); do
    { tail -c "+$((offset + 1))" "$1" | zstd -dcq >"$2" 2>/dev/null; } || true
    if [ "$(head -c 4 "$2" | tail -c 3)" = ELF ]; then return; fi
  done
  die "there is no kernel compressed by xz or zstd in $1"
}

# An initial file system that mounts this machine's root, read-only, below one in memory, and goes on there.
make_first_stage() { # DIRECTORY VERSION
  local stage=$1/first-stage module action path file
  mkdir -p "$stage"/{bin,modules,proc,sys,dev,lower,upper,control,root}
  cp "$(command -v busybox)" "$stage/bin/busybox"
  for module in "${BOOT_MODULES[@]}"; do
    modprobe -d "$1/root" -S "$2" --show-depends "$module" | while read -r action path _; do
      file=$(basename "${path%.xz}")
      if [ "$action" != insmod ] || [ -e "$stage/modules/$file" ]; then continue; fi
      # Busybox loads modules that are not compressed.
      case $path in
        *.xz) xz -dc "$path" >"$stage/modules/$file" ;;
        *) cp "$path" "$stage/modules/$file" ;;
      esac
      echo "$file" >>"$stage/order"
    done
  done
  cat >"$stage/init" <<INIT
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t proc none /proc; \$b mount -t sysfs none /sys; \$b mount -t devtmpfs none /dev
while read -r module; do \$b insmod /modules/\$module; done </order
\$b mount -t 9p -o ro,cache=loose,$MOUNT_OPTIONS root /lower || \$b poweroff -f
\$b mount -t tmpfs -o size=75% none /upper; \$b mkdir /upper/files /upper/work
\$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work none /root
\$b mount -t 9p -o rw,cache=none,$MOUNT_OPTIONS control /control || \$b poweroff -f
\$b mkdir -p /root/guest/control /root/guest/tmp /root/dev /root/proc /root/sys
\$b mount --move /control /root/guest/control
for directory in proc sys dev; do \$b mount --move /\$directory /root/\$directory; done
exec \$b switch_root /root /bin/bash /guest/control/init
INIT
  chmod +x "$stage/init"
  (cd "$stage" && find . | cpio -o -H newc --quiet) >"$1/initrd"
  rm -r "$stage"
}

if [ ! -e "$cache/kernel-package${suite:+-$suite}/initrd" ]; then
  rm -rf "$cache"/new.*
  new=$(mktemp -d "$cache/new.XXXXXX")
  prepare "$new"
  rm -rf "$cache/kernel-package${suite:+-$suite}"
  mv "$new" "$cache/kernel-package${suite:+-$suite}"
fi
package=$cache/kernel-package${suite:+-$suite}
version=$(cat "$package/version")

# What goes in: the second stage and the command. What comes out beside its output: its exit code.
rm -rf "$cache"/run.*
run=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$run"' EXIT
printf '%s\n' "$command" >"$run/command"
cat >"$run/init" <<INIT
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/guest/tmp
mount -t tmpfs none /run
mkdir -p /run/lock /run/netns /dev/pts /dev/shm
mount -t devpts none /dev/pts; mount -t tmpfs none /dev/shm; mount -t cgroup2 none /sys/fs/cgroup
mkdir -p '/lib/modules/$version'
mount --bind '$package/root/lib/modules/$version' '/lib/modules/$version'
ln -sfn /proc/self/fd /dev/fd; ln -sfn fd/0 /dev/stdin; ln -sfn fd/1 /dev/stdout; ln -sfn fd/2 /dev/stderr
ip link set lo up
hostname vm
for port in /sys/class/virtio-ports/*; do
  case \$(cat "\$port/name") in
    output) output=/dev/\${port##*/} ;;
    errors) errors=/dev/\${port##*/} ;;
  esac
done
{
  failed=
  for module in ${modules//,/ }; do modprobe "\$module" || failed=1; done
  if [ -n "\$failed" ]; then code=125; else (cd '$PWD' && exec bash /guest/control/command); code=\$?; fi
} </dev/null >"\$output" 2>"\$errors"
echo "\$code" >/guest/control/code.new
mv /guest/control/code.new /guest/control/code
sync
echo o >/proc/sysrq-trigger
INIT

# A /dev/kvm without vmx or svm is made of software, and hardly gets through a stock kernel's start. On a busy machine an
# emulated kernel misjudges the speed of its time stamp counter, and its clock with it, and finds that its timer does not work.
acceleration=tcg model=max clock='clocksource=hpet no_timer_check'
if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then acceleration=kvm model=host clock=''; fi
began=$SECONDS
nice -n 5 timeout --foreground -k 5 "$seconds" qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none \
  -machine q35 -accel "$acceleration" -cpu "$model" -smp "$processors" -m "$memory" \
  -kernel "$package/kernel" -initrd "$package/initrd" \
  -append "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off $clock $arguments" -serial "file:$run/console" \
  -fsdev local,id=root,path=/,security_model=none,multidevs=remap,readonly=on \
  -device virtio-9p-pci,fsdev=root,mount_tag=root \
  -fsdev "local,id=control,path=$run,security_model=none" -device virtio-9p-pci,fsdev=control,mount_tag=control \
  -device virtio-rng-pci -device virtio-serial-pci \
  -add-fd fd=3,set=1 -chardev file,id=output,path=/dev/fdset/1,append=on -device virtserialport,chardev=output,name=output \
  -add-fd fd=4,set=2 -chardev file,id=errors,path=/dev/fdset/2,append=on -device virtserialport,chardev=errors,name=errors \
  3>&1 4>&2 9>&- </dev/null &
machine=$!
trap 'kill "$machine" 2>/dev/null' INT TERM
ended=0
wait "$machine" || ended=$?
if [ -n "$verbose" ]; then say "run-in-vm: $((SECONDS - began)) s, Linux $version, $acceleration"; fi
if [ -s "$run/code" ]; then exit "$(cat "$run/code")"; fi
if [ "$ended" = 124 ] || [ "$ended" = 137 ]; then say "run-in-vm: ended after $seconds s"; exit 124; fi
say "run-in-vm: the virtual machine died (QEMU ended with $ended); the end of its console:"
tail -n 20 "$run/console" >&2 || true
exit 125
