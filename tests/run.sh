#!/bin/sh
# Runs every test, first installing what they need on Debian 12: clang, lld and llvm 23, 22, 19 and 16, a kernel's source, QEMU,
# Chromium, ccache, a server of remote execution. Arguments go to the test runner: cargo nextest, or cargo test where that cannot be
# had. `--profile quick` skips the kernel and lld's tests.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin"

root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

wanted='gcc g++ libc6-dev make cmake ninja-build meson
  linux-source-6.12 flex bison bc libelf-dev libssl-dev xz-utils qemu-system-x86 qemu-user cpio
  autoconf automake libtool pkg-config file chromium ccache python3 python3-pip bubblewrap nginx-light openssl patchelf groff-base'
for llvm in 22 19 16; do
  wanted="$wanted clang-$llvm lld-$llvm llvm-$llvm llvm-$llvm-tools"
done
missing=
for package in $wanted; do
  dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  root apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing > /dev/null
fi

tests/newer-llvm.sh 23
tests/remote/casd.sh > /dev/null

# nextest where it is installed; building it would take longer than the tests.
if cargo nextest --version > /dev/null 2>&1; then
  exec cargo nextest run "$@"
fi
case $* in
  '') exec cargo test --no-fail-fast ;;
  '--profile quick') exec cargo test --no-fail-fast -- --skip linux_builds_distributed_and_boots --skip llds_tests_of_lto ;;
  *) echo "cargo test does not take nextest's arguments: $*" >&2 && exit 2 ;;
esac
