# What the kernel tests have in common: a tree unpacked, configured and built with `LD=thinlto-ld-N`, its links judged by the
# stats lines, a boot. Knows nothing of which kernels are worth it. Sourced by scripts that have set `thinlto_ld` and `work`.

here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
suffix=${LLVM_SUFFIX:--22}
jobs=${JOBS:-$(nproc)}
build=$work/build
stats=$work/stats.json

fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

# What is needed to build for an architecture, and to boot what was built: nothing where its QEMU takes no kernel.
use_architecture() {
  arch=$1
  case $arch in
    x86_64)
      kbuild_arch=x86_64 triple=x86_64-linux-gnu image=arch/x86/boot/bzImage console=ttyS0
      # An emulated timer on a busy machine can miss the ticks that the kernel waits for early on, and it panics ("IO-APIC +
      # timer doesn't work"): one boot in six under load. no_timer_check is the kernel's own option for emulators.
      machine=(qemu-system-x86_64 -accel tcg -M q35) words=no_timer_check ;;
    arm64)
      kbuild_arch=arm64 triple=aarch64-linux-gnu image=arch/arm64/boot/Image console=ttyAMA0
      machine=(qemu-system-aarch64 -M virt -cpu cortex-a57) words= ;;
    riscv64)
      kbuild_arch=riscv triple=riscv64-linux-gnu image=arch/riscv/boot/Image console=ttyS0
      machine=(qemu-system-riscv64 -M virt) words= ;;
    loongarch64)
      kbuild_arch=loongarch triple=loongarch64-linux-gnu image=vmlinux console=ttyS0
      machine=() words= ;;
    *) fail "$arch: not an architecture with ThinLTO" ;;
  esac
}

# Everything a make inherits: this thinlto-ld under the name that means the LLVM asked for, and no other make's ways.
prepare_environment() {
  mkdir -p "$work/bin" "$build"
  ln -sf "$thinlto_ld" "$work/bin/thinlto-ld$suffix"
  export PATH="$work/bin:$PATH" THINLTO_LD_STATS="$stats" THINLTO_LD_MODE=distributed XDG_CACHE_HOME="$work/cache"
  unset MAKEFLAGS MFLAGS MAKELEVEL
}

# Sets `tree`: the one given by KERNEL_TREE, or Debian's source of this version, unpacked once.
use_tree() {
  local tarball=${KERNEL_SOURCE:-/usr/src/linux-source-$1.tar.xz}
  tree=${KERNEL_TREE:-$work/linux-$1}
  [ ! -e "$tree/Makefile" ] || return 0
  [ -f "$tarball" ] || fail "$tarball is not there: apt-get install linux-source-$1, or set KERNEL_SOURCE or KERNEL_TREE"
  mkdir -p "$tree"
  tar xf "$tarball" -C "$tree" --strip-components=1
}

kernel_make() {
  "${KERNEL_MAKE:-make}" -C "$tree" O="$build" ARCH="$kbuild_arch" LLVM="$suffix" LD="thinlto-ld$suffix" "$@"
}

# Makes the targets named, or all there is.
build_kernel() {
  kernel_make -j"$jobs" "$@" > "$work/make.log" 2>&1 || { tail -n 40 "$work/make.log" >&2; fail 'the kernel did not build'; }
}

# tinyconfig, what booting needs, and the fragments named; each line of them must survive.
configure() {
  local fragment line wanted=$work/wanted.config
  for fragment in base "$arch" "$@"; do
    [ -f "$here/$fragment.config" ] || fail "there is no $here/$fragment.config"
    cat "$here/$fragment.config"
  done > "$wanted"
  kernel_make -s KCONFIG_ALLCONFIG="$wanted" tinyconfig
  # tinyconfig reads its own fragments after ours, so what they turned off is said once more.
  "$tree/scripts/kconfig/merge_config.sh" -m -O "$build" "$build/.config" "$wanted" > "$work/merge.log"
  kernel_make -s olddefconfig
  while read -r line; do
    grep -qx "$line" "$build/.config" || fail "$line did not survive the kernel's own configuration"
  done < "$wanted"
}

# Each link of bitcode must be distributed: vmlinux.o, and each module's.
check_links() {
  distributed vmlinux.o
  check_modules "$build" ''
}

# A module is linked first to one object and then to its .ko; one of one file under a name of its own beside it. Modules are
# looked for below a folder, and named with a prefix by the links. No link at all may have been left to in-process lld.
check_modules() {
  local module stem
  ! grep '"mode":"in-process"' "$stats" || fail 'left to in-process lld'
  while read -r module; do
    stem=$2${module%.ko}
    distributed "$stem.o" "$(dirname "$stem")/.tmp_$(basename "$stem").o"
    # What modpost writes is no bitcode since 6.13 or so.
    ! is_bitcode "$1/${module%.ko}.mod.o" || distributed "$stem.ko"
  done < <(cd "$1" && find . -name '*.ko' -printf '%P\n')
}

is_bitcode() { [ "$(head -c 2 "$1")" = BC ]; }

# Whether the last link of one of these outputs was distributed and succeeded.
distributed() {
  local output line
  for output; do
    line=$(grep -F "\"output\":\"$output\"" "$stats" | tail -n 1) || continue
    grep -q '"mode":"distributed".*"exit":0' <<< "$line" || fail "$output was not linked distributed: $line"
    echo "distributed: $1 $(grep -oE '"modules":[0-9]+' <<< "$line" | head -n 1)"
    return
  done
  fail "no link of $*"
}

counted() { grep -oE "\"$1\":[0-9]+" <<< "$2" | head -n 1 | cut -d: -f2; }

# Boots with the modules in a folder, or those that were built: they must load, the kernel must not complain, and must have in it what its
# configuration says.
boot() {
  local root=$work/root modules loaded
  [ "${#machine[@]}" -gt 0 ] || { echo "not booted: QEMU takes no $arch kernel without firmware"; return 0; }
  rm -rf "$root"
  mkdir -p "$root"/{dev,proc,sys,modules}
  find "${1:-$build}" -name '*.ko' -exec cp {} "$root/modules/" \;
  kernel_make -s headers > "$work/headers.log" 2>&1 || fail "no headers: $(tail -n 3 "$work/headers.log")"
  "clang$suffix" --target="$triple" -Os -static -nostdlib -nostdinc -ffreestanding -fno-stack-protector \
    --ld-path="$(command -v "ld.lld$suffix")" -isystem "$build/usr/include" \
    -isystem "$("clang$suffix" -print-resource-dir)/include" -include "$tree/tools/include/nolibc/nolibc.h" \
    -o "$root/init" "$here/init.c"
  (cd "$root" && find . | cpio -o -H newc --quiet > "$work/initramfs.cpio")
  timeout 300 "${machine[@]}" -m 256 -nographic -no-reboot -kernel "$build/$image" -initrd "$work/initramfs.cpio" \
    -append "console=$console panic=-1 $words" < /dev/null > "$work/boot.log" 2>&1 || true
  grep -v '^CONFIG ' "$work/boot.log" | tail -n 15
  modules=$(find "$root/modules" -name '*.ko' | wc -l)
  loaded=$(grep -c ' Live 0x' "$work/boot.log" || true)
  [ "$modules" -gt 0 ] || fail 'no module was built'
  [ "$loaded" = "$modules" ] || fail "$loaded of $modules modules loaded"
  ! grep -E 'Oops|BUG:|WARNING:|Kernel panic|CFI failure' "$work/boot.log" || fail 'the kernel complained'
  grep -q '^BOOT-OK' "$work/boot.log" || fail 'no BOOT-OK'
  sed -n 's/^CONFIG \([0-9A-F]*\).*/\1/p' "$work/boot.log" | basenc -d --base16 | zcat | cmp - "$build/.config" ||
    fail '/proc/config.gz is not .config'
  carries CONFIG_IKHEADERS KHEADERS
  carries CONFIG_DEBUG_INFO_BTF BTF
  carries CONFIG_FUNCTION_TRACER TRACED
  echo "booted: $loaded of $modules modules loaded"
}

# Where an option is set, what it puts into the kernel is there.
carries() {
  grep -qx "$1=y" "$build/.config" || return 0
  grep -E "^$2 [1-9]" "$work/boot.log" || fail "$1 is set, but the kernel has nothing of it"
}
