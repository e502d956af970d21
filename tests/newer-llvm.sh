#!/bin/sh
# Installs clang, lld and llvm N on a Debian that has not got them: `newer-llvm.sh 23` (from sid), `newer-llvm.sh 24` (the snapshot in
# experimental). Their packages and all that these need, the C library too, go into a folder of their own, /usr/local/lib/llvm-N,
# and run there by the loader in it; /usr/lib/llvm-N and the programs named -N in /usr/local/bin lead there. Quick where they are
# there already. Nothing else of the machine is changed: apt works by files of its own, and believes only what Debian has signed.
set -eu
export LC_ALL=C
llvm="${1:?which LLVM, as 23}"
case $llvm in
  23) suites=sid ;;
  *) suites='sid experimental' ;;
esac

root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if "clang-$llvm" --version > /dev/null 2>&1 && "ld.lld-$llvm" --version > /dev/null 2>&1; then
  exit 0
fi

place=/usr/local/lib/llvm-$llvm
if [ ! -d "$place" ]; then
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/etc/apt.conf.d" "$work/etc/preferences.d" "$work/state/lists/partial" "$work/cache/archives/partial" "$work/root"
  : > "$work/state/status"
  for suite in $suites; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
  done > "$work/etc/sources.list"
  # A mirror may be a snapshot of some weeks ago: its date is past, its signature as good as ever.
  cat > "$work/apt.conf" <<- CONF
	Dir::Etc "$work/etc";
	Dir::Etc::sourceparts "/dev/null";
	Dir::Etc::trustedparts "/dev/null";
	Dir::State "$work/state";
	Dir::State::status "$work/state/status";
	Dir::Cache "$work/cache";
	APT::Sandbox::User "";
	APT::Install-Recommends "false";
	Acquire::Languages "none";
	Acquire::Check-Valid-Until "false";
	CONF
  packages="clang-$llvm lld-$llvm llvm-$llvm llvm-$llvm-tools"
  export APT_CONFIG="$work/apt.conf"
  apt-get -qq update
  # shellcheck disable=SC2086 # a list of words
  apt-get install -qq -y --download-only $packages > /dev/null
  unset APT_CONFIG
  for package in "$work"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$work/root"
  done

  libraries=usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH 2> /dev/null || gcc -print-multiarch)
  loader=$(basename "$work/root/$libraries"/ld-linux*)
  for program in "$work/root/usr/lib/llvm-$llvm/bin"/*; do
    # Links share a program, and scripts need none of this.
    [ ! -L "$program" ] && patchelf --print-interpreter "$program" > /dev/null 2>&1 || continue
    # A run path of the old kind: it holds for the libraries of libraries too,
    patchelf --set-interpreter "$place/$libraries/$loader" --force-rpath --set-rpath "$place/$libraries" "$program"
  done
  # but for those of LLVM's, which have one themselves.
  for library in "$work/root/$libraries"/libLLVM.so.* "$work/root/$libraries"/libclang*.so.*; do
    [ -L "$library" ] || patchelf --force-rpath --set-rpath "$place/$libraries" "$library"
  done
  chmod 755 "$work/root"
  root mkdir -p "${place%/*}"
  root mv -T "$work/root" "$place"
fi

[ -e "/usr/lib/llvm-$llvm" ] || root ln -s "$place/usr/lib/llvm-$llvm" "/usr/lib/llvm-$llvm"
for program in "$place/usr/bin"/*-"$llvm"; do
  root ln -sf "$program" /usr/local/bin/
done
"clang-$llvm" --version > /dev/null
"ld.lld-$llvm" --version > /dev/null
