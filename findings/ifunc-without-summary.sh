#!/bin/sh
# ThinLTO's index has no summary of an ifunc, nor of an alias of one (llvm/lib/Analysis/ModuleSummaryAnalysis.cpp,
# `computeAliasSummary`), so that code of a PIE reaches one in another module through the GOT, though it is defined in the program as
# surely as a function, which the same code reaches directly. Turning a function into an ifunc changes its users' objects.
#
# Seen: clang and lld 22.1.8, 29 November 2026.
. "$(dirname "$0")/debian-llvm"
llvm 22.1.8-1~deb12u1

echo 'int f(void); int (*address(void))(void) { return f; }' > use.c
echo 'int f(void) { return 1; }' > function.c
# A resolver that LLVM cannot foresee, or it would put the function in its place.
cat > ifunc.c << 'C'
int which;
static int one(void) { return 1; }
static int two(void) { return 2; }
static int (*choose(void))(void) { return which ? one : two; }
int f(void) __attribute__((ifunc("choose")));
C
sed 's/int f(void)/int other(void)/; $a int f(void) __attribute__((alias("other")));' ifunc.c > alias.c

reached() {
  clang-22 -O2 -fPIE "$2" -c "$1.c" -o "$1.o"
  clang-22 -O2 -fPIE -flto=thin -c use.c
  ld.lld-22 -pie -e address use.o "$1.o" --lto-obj-path="$1.lto" -o program
  llvm-readelf-22 -rW "$1.lto1" | awk '$5 == "f" {print $3}'
}
for lto in -flto=thin -flto=full; do
  expect "function, $lto" "$(reached function $lto)" R_X86_64_PC32
  expect "ifunc, $lto" "$(reached ifunc $lto)" R_X86_64_REX_GOTPCRELX
  expect "alias of an ifunc, $lto" "$(reached alias $lto)" R_X86_64_REX_GOTPCRELX
done
