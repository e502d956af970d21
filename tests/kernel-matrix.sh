#!/bin/bash
# One kernel of many, built through thinlto-ld by `LD=` alone and judged: its links, its objects, its boot, a second make, what
# stays behind. Knows nothing of how thinlto-ld works; the figures are the stats lines' and `thinlto compare`'s.
#
#   kernel-matrix.sh THINLTO_LD WORK_DIR ARCH/VERSION/FEATURES [STEP...]
#
#   ARCH      x86_64, arm64, riscv64, loongarch64
#   VERSION   of Debian's linux-source-VERSION; or a word for the tree that KERNEL_TREE names
#   FEATURES  small, or fragments of tests/kernel joined by +: cfi kcfi ftrace btf kheaders modversions signed trim; with thin-dist, which needs a
#             tree that has CONFIG_LTO_CLANG_THIN_DIST, Kbuild makes the backends of vmlinux
#   STEP      of those below, in their order; all if none is named
#
# Needs flex bison bc libelf-dev libssl-dev cpio kmod xz-utils, dwarves for btf, qemu-system-{x86,arm,misc} for booting.
# LLVM_SUFFIX, JOBS, KERNEL_SOURCE and KERNEL_MAKE (what to call for make) are heeded as well. A row takes 5 to 15 minutes and 2 GB on two CPUs.
set -euo pipefail

if [ $# -lt 3 ]; then
  sed -n '/^#   /s/^# *//p' "$0" >&2
  exit 2
fi
thinlto_ld=$(realpath "$1")
IFS=/ read -r architecture version features <<< "$3"
work=$2/$architecture-$version-$features
mkdir -p "$work"
work=$(realpath "$work")
. "$(dirname "$0")/kernel/common.sh"
shift 3
external=$work/external
installed=$work/installed

has() { [[ +$features+ = *+$1+* ]]; }

# Configured, built, and every link of bitcode distributed.
step_build() {
  local fragments
  rm -f "$stats"
  IFS=+ read -ra fragments <<< "$features"
  has thin-dist || fragments+=(thin)
  [ -f "$build/.config" ] || configure "${fragments[@]/#small/thin}"
  build_kernel
  if has thin-dist; then check_thin_dist; else check_links; fi
}

# Where Kbuild asks for the thin link alone that is what it gets, and it makes the backends. Modules are ours.
check_thin_dist() {
  grep -F '"output":"a.out","mode":"passthrough","reason":"asks for the thin link alone"' "$stats" || fail 'no thin link'
  [ -n "$(find "$build" -name '*.thinlto-native.o' -print -quit)" ] || fail 'Kbuild made no backends'
  check_modules "$build" ''
}

# Modules out of the tree, of one file and of two.
step_external() {
  rm -rf "$external"
  cp -r "$here/module" "$external"
  rm -f "$stats"
  build_kernel M="$external" modules
  # Kbuild names them from the kernel's folder, and since 6.13 from their own.
  if grep -qF "\"cwd\":\"$external\"" "$stats"; then check_modules "$external" ''; else check_modules "$external" "$external/"; fi
}

# Modules where a distribution would have them: signed, if they are to be, or the kernel will not load them.
step_install() {
  rm -rf "$installed"
  build_kernel INSTALL_MOD_PATH="$installed" modules_install
  [ ! -d "$external" ] || build_kernel INSTALL_MOD_PATH="$installed" M="$external" modules_install
  local module
  grep -qx CONFIG_MODULE_SIG_ALL=y "$build/.config" || return 0
  while read -r module; do
    tail -c 28 "$module" | grep -qF 'Module signature appended' || fail "$module is not signed"
  done < <(find "$installed" -name '*.ko')
  echo "signed: $(find "$installed" -name '*.ko' | wc -l) modules"
}

# The backends' objects of every link that Kbuild saved the command of, against in-process lld's.
step_objects() {
  local module stem files=()
  has thin-dist || files=(.vmlinux.o.cmd)
  while read -r module; do
    stem=$(dirname "$module")/.$(basename "$module" .ko)
    # That of a module of one file is part of its compilation.
    ! grep -qE "^(saved)?cmd_[^ ]* := thinlto-ld" "$build/$stem.o.cmd" || files+=("$stem.o.cmd")
    ! is_bitcode "$build/${module%.ko}.mod.o" || files+=("$stem.ko.cmd")
  done < <(cd "$build" && find . -name '*.ko' -printf '%P\n')
  for module in "${files[@]}"; do
    "$(dirname "$thinlto_ld")/thinlto" compare --json -C "$build" -- "@$module" > "$work/compared.json" || true
    python3 - "$module" "$work/compared.json" <<'PYTHON' || fail "$module: not what in-process lld makes"
import json, sys
answer = json.load(open(sys.argv[2]))
objects = answer["objects"]
print(f"{sys.argv[1]}: {objects['identical']} of {objects['total']} objects identical, {answer['verdict']}: {answer['why']}")
same = answer["verdict"] == "equivalent" and objects["total"] == objects["identical"] > 0
sys.exit(not same)
PYTHON
  done
}

# vmlinux.o, byte for byte, when the objects stand where in-process lld has them.
step_identical() {
  local command
  ! has thin-dist || return 0
  command=$(sed -nE 's/^(saved)?cmd_vmlinux.o := //p' "$build/.vmlinux.o.cmd")
  command=${command%% ; *}
  rm -f "$stats"
  (cd "$build" && THINLTO_LD_ORDER=in-process sh -c "${command/-o vmlinux.o/-o $work/ours.o}")
  (cd "$build" && sh -c "${command/#thinlto-ld$suffix/ld.lld$suffix} -o $work/lld.o")
  cmp "$work/ours.o" "$work/lld.o" || fail 'vmlinux.o in in-process order differs from that of lld'
  echo "identical: vmlinux.o of $(stat -c %s "$work/ours.o") bytes, $(grep -oE '"relocatable":\{[^}]*\}' "$stats" | tail -n 1)"
  rm "$work/ours.o" "$work/lld.o"
}

step_boot() {
  if [ -d "$installed" ]; then boot "$installed"; else boot; fi
}

# A make after which there was nothing to do.
step_twice() {
  rm -f "$stats"
  build_kernel
  [ -f "$stats" ] || { echo 'twice: the second make links nothing'; return 0; }
  ! grep -E '"thin_link":"run"|"run":[1-9]|"mode":"in-process"' "$stats" || fail 'the second make is not free'
  echo "twice: $(wc -l < "$stats") links, none with a backend or a thin link"
}

# The same folder linked by ld.lld alone has files of the same names; and `clean` and `mrproper` leave as little.
step_tidy() {
  local target plain=$work/plain
  build_kernel
  names "$build" > "$work/ours.names"
  build_kernel LD="ld.lld$suffix"
  names "$build" > "$work/plain.names"
  diff "$work/plain.names" "$work/ours.names" || fail 'other files than ld.lld leaves'
  rm -rf "$plain"
  cp -a "$build" "$plain"
  build_kernel
  for target in clean mrproper; do
    kernel_make -s "$target"
    kernel_make -s LD="ld.lld$suffix" O="$plain" "$target"
    diff <(names "$plain") <(names "$build") || fail "after $target: other files than ld.lld leaves"
    echo "tidy: $(names "$build" | wc -l) files after $target, as without us"
  done
}

names() { (cd "$1" && find . | sort); }

use_architecture "$architecture"
prepare_environment
use_tree "$version"
[ $# -gt 0 ] || set -- build external install objects identical boot twice tidy
for step; do
  declare -F "step_$step" > /dev/null || fail "$step: not a step"
  echo "== $architecture/$version/$features: $step"
  "step_$step"
done
