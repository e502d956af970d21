#!/bin/bash
# Builds a small ThinLTO Linux with `make LD=thinlto-ld-N` and nothing else changed, boots it in QEMU with every module, and
# changes its configuration, which it carries in itself, and the options of some of its files.
# Knows nothing of how thinlto-ld works: it judges by the files, by the stats lines and by what the kernel prints.
#
#   kernel.sh THINLTO_LD WORK_DIR     (LLVM_SUFFIX=-22, KERNEL_SOURCE=/usr/src/linux-source-6.12.tar.xz, JOBS=2)
#
# Needs Debian's linux-source-6.12 flex bison bc libelf-dev qemu-system-x86 cpio xz-utils.
set -euo pipefail

thinlto_ld=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
. "$(dirname "$0")/kernel/common.sh"

# Changes an option that only one object's .incbin sees: the module is what it was, byte for byte, its object is not.
reconfigure() {
  local line
  carries_its_configuration
  rm "$stats"
  "$tree/scripts/config" --file "$build/.config" --set-str DEFAULT_HOSTNAME reconfigured
  build_kernel vmlinux
  grep -qx 'CONFIG_DEFAULT_HOSTNAME="reconfigured"' "$build/.config" || fail 'the option was not changed'
  carries_its_configuration
  distributed vmlinux.o
  line=$(grep -F '"output":"vmlinux.o"' "$stats")
  [ "$(counted run "$line")" -lt 10 ] && [ "$(counted cached "$line")" -gt 100 ] || fail "not made of the cache: $line"
  echo "reconfigured: $(counted run "$line") backends run, $(counted cached "$line") cached"
}

carries_its_configuration() {
  "$tree/scripts/extract-ikconfig" "$build/vmlinux" | cmp - "$build/.config" || fail 'vmlinux carries another configuration'
}

# Gives three files an option that only the code generator reads: of vmlinux, of a module of one file, of one of many. Each is
# compiled with it in the backend, where in-process LTO would have forgotten it, and the kernel still boots. (Where a function
# is optimised for size loops are not aligned.)
give_options() {
  local options='-O2 -falign-loops=64' object
  rm "$stats"
  printf 'CFLAGS_%s.o += %s\n' bitmap "$options" >> "$tree/lib/Makefile"
  printf 'CFLAGS_%s.o += %s\n' binfmt_misc "$options" >> "$tree/fs/Makefile"
  printf 'CFLAGS_%s.o += %s\n' dir "$options" >> "$tree/fs/fuse/Makefile"
  THINLTO_LD_FLAGS=kbuild THINLTO_LD_NATIVE=on build_kernel
  check_links > /dev/null
  ! grep -E '"flags_missing":[1-9]' "$stats" || fail 'the options of some objects are not known'
  for object in lib/bitmap fs/binfmt_misc fs/fuse/dir; do
    [ "$(alignment "$object")" = 64 ] || fail "$object.thinlto-native.o is aligned to $(alignment "$object")"
  done
  [ "$(alignment lib/string)" -lt 64 ] || fail 'a file without the option has it too'
  echo "own options: $(grep -oE '"flags_own":[0-9]+' "$stats" | cut -d: -f2 | paste -sd+ | bc) objects, three of them aligned"
}

# To how much the code in a native object is aligned at most.
alignment() {
  "llvm-readelf$suffix" -SW "$build/$1.thinlto-native.o" | awk '$2 ~ /^\.text/ || $3 ~ /^\.text/ { print $NF }' | sort -n | tail -n 1
}

prepare_environment
rm -f "$stats"
use_architecture x86_64
# A tree of its own: it is edited.
unset KERNEL_TREE
use_tree 6.12
configure thin
build_kernel
check_links
boot
reconfigure
give_options
boot
