#!/bin/bash
# Builds a small ThinLTO Linux with `make LD=thinlto-ld-N` and nothing else changed, boots it in QEMU with every module, and
# changes its configuration, which it carries in itself, and the options of some of its files.
# Knows nothing of how thinlto-ld works: it judges by the files, by the stats lines and by what the kernel prints.
#
#   kernel.sh THINLTO_LD WORK_DIR     (LLVM_SUFFIX=-22, KERNEL_SOURCE=/usr/src/linux-source-6.12.tar.xz, JOBS=2)
#
# Needs Debian's linux-source-6.12 flex bison bc libelf-dev qemu-system-x86 busybox-static cpio xz-utils.
set -euo pipefail

thinlto_ld=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
suffix=${LLVM_SUFFIX:--22}
source=${KERNEL_SOURCE:-/usr/src/linux-source-6.12.tar.xz}
jobs=${JOBS:-$(nproc)}
tree=$work/linux
build=$work/build
stats=$work/stats.json

fail() { echo "kernel.sh: $*" >&2; exit 1; }

kernel_make() { make -C "$tree" O="$build" LLVM="$suffix" LD="thinlto-ld$suffix" "$@"; }

# Builds the targets named, or all there is.
build_kernel() {
  kernel_make -j"$jobs" "$@" > "$work/make.log" 2>&1 || { tail -n 40 "$work/make.log" >&2; fail 'the kernel did not build'; }
}

unpack() {
  [ -f "$source" ] || fail "$source is not there: apt-get install linux-source-6.12, or set KERNEL_SOURCE"
  mkdir -p "$tree"
  tar xf "$source" -C "$tree" --strip-components=1
}

# tinyconfig and what a serial console, an initramfs and two modules need: one of many files, one of one. And the
# configuration itself, which an object takes in by .incbin.
configure() {
  cat > "$work/wanted.config" <<'CONFIG'
CONFIG_64BIT=y
CONFIG_LTO_CLANG_THIN=y
CONFIG_PRINTK=y
CONFIG_TTY=y
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_CONSOLE=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_RD_GZIP=y
CONFIG_BINFMT_ELF=y
CONFIG_BINFMT_SCRIPT=y
CONFIG_PROC_FS=y
CONFIG_SYSFS=y
CONFIG_DEVTMPFS=y
CONFIG_IKCONFIG=y
CONFIG_IKCONFIG_PROC=y
CONFIG_MODULES=y
CONFIG_FUSE_FS=m
CONFIG_CRC_ITU_T=m
CONFIG
  kernel_make -s KCONFIG_ALLCONFIG="$work/wanted.config" tinyconfig
  # tinyconfig reads its own fragments after ours, so what they turned off is said once more.
  "$tree/scripts/kconfig/merge_config.sh" -m -O "$build" "$build/.config" "$work/wanted.config" > "$work/merge.log"
  kernel_make -s olddefconfig
  local line
  while read -r line; do
    grep -qx "$line" "$build/.config" || fail "$line did not survive the kernel's own configuration"
  done < "$work/wanted.config"
}

# Each link of bitcode must be distributed: vmlinux.o, and each module's, first to one object and then to its .ko. Kbuild
# links a module of one file under a name of its own beside it.
check_links() {
  ! grep '"mode":"in-process"' "$stats" || fail 'left to in-process lld'
  distributed vmlinux.o
  local module
  while read -r module; do
    distributed "${module%.ko}.o" "$(dirname "$module")/.tmp_$(basename "$module" .ko).o"
    distributed "$module"
  done < <(cd "$build" && find . -name '*.ko' -printf '%P\n')
}

# Whether the link of one of these outputs, as Kbuild names them in the build folder, was distributed and succeeded.
distributed() {
  local output line
  for output; do
    line=$(grep -F "\"output\":\"$output\"" "$stats") || continue
    grep -q '"mode":"distributed".*"exit":0' <<< "$line" || fail "$output was not linked distributed: $line"
    echo "distributed: $1 $(grep -oE '"modules":[0-9]+' <<< "$line" | head -n 1)"
    return
  done
  fail "no link of $*"
}

# The kernel's own complaints, whether every module loads, and whether it is of this configuration.
boot() {
  local root=$work/root modules loaded
  mkdir -p "$root"/{bin,dev,proc,sys,modules}
  cp "$(command -v busybox)" "$root/bin/busybox"
  find "$build" -name '*.ko' -exec cp {} "$root/modules/" \;
  cat > "$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
for module in /modules/*.ko; do /bin/busybox insmod $module; done
/bin/busybox cat /proc/version /proc/modules
echo CONFIG $(/bin/busybox zcat /proc/config.gz | /bin/busybox md5sum)
echo BOOT-OK
/bin/busybox reboot -f
INIT
  chmod +x "$root/init"
  (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1 > "$work/initramfs.gz")
  # An emulated timer on a busy machine can miss the ticks that the kernel waits for early on, and it panics ("IO-APIC + timer
  # doesn't work"): one boot in six of the same kernel under load. no_timer_check is the kernel's own option for emulators.
  timeout 180 qemu-system-x86_64 -accel tcg -M q35 -m 256 -nographic -no-reboot \
    -kernel "$build/arch/x86/boot/bzImage" -initrd "$work/initramfs.gz" \
    -append 'console=ttyS0 panic=-1 no_timer_check' < /dev/null > "$work/boot.log" 2>&1 || true
  tail -n 15 "$work/boot.log"
  modules=$(find "$root/modules" -name '*.ko' | wc -l)
  loaded=$(grep -c ' Live 0x' "$work/boot.log" || true)
  [ "$modules" -gt 0 ] || fail 'no module was built'
  [ "$loaded" = "$modules" ] || fail "$loaded of $modules modules loaded"
  ! grep -E 'Oops|BUG:|WARNING:|Kernel panic' "$work/boot.log" || fail 'the kernel complained'
  grep -q '^BOOT-OK' "$work/boot.log" || fail 'no BOOT-OK'
  grep -q "^CONFIG $(md5sum < "$build/.config" | cut -d' ' -f1)" "$work/boot.log" || fail '/proc/config.gz is not .config'
  echo "booted: $loaded of $modules modules loaded"
}

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
  printf 'CFLAGS_%s.o += %s\n' bitmap "$options" crc-itu-t "$options" >> "$tree/lib/Makefile"
  printf 'CFLAGS_%s.o += %s\n' dir "$options" >> "$tree/fs/fuse/Makefile"
  THINLTO_LD_FLAGS=kbuild THINLTO_LD_NATIVE=on build_kernel
  check_links > /dev/null
  ! grep -E '"flags_missing":[1-9]' "$stats" || fail 'the options of some objects are not known'
  for object in lib/bitmap lib/crc-itu-t fs/fuse/dir; do
    [ "$(alignment "$object")" = 64 ] || fail "$object.thinlto-native.o is aligned to $(alignment "$object")"
  done
  [ "$(alignment lib/string)" -lt 64 ] || fail 'a file without the option has it too'
  echo "own options: $(grep -oE '"flags_own":[0-9]+' "$stats" | cut -d: -f2 | paste -sd+ | bc) objects, three of them aligned"
}

# To how much the code in a native object is aligned at most.
alignment() {
  "llvm-readelf$suffix" -SW "$build/$1.thinlto-native.o" | awk '$2 ~ /^\.text/ || $3 ~ /^\.text/ { print $NF }' | sort -n | tail -n 1
}

counted() { grep -oE "\"$1\":[0-9]+" <<< "$2" | head -n 1 | cut -d: -f2; }

mkdir -p "$work/bin" "$build"
ln -sf "$thinlto_ld" "$work/bin/thinlto-ld$suffix"
export PATH="$work/bin:$PATH" THINLTO_LD_STATS="$stats" THINLTO_LD_MODE=distributed XDG_CACHE_HOME="$work/cache"
unset MAKEFLAGS MFLAGS MAKELEVEL
rm -f "$stats"

unpack
configure
build_kernel
check_links
boot
reconfigure
give_options
boot
