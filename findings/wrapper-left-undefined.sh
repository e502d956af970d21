#!/bin/sh
# `--wrap=f --undefined-glob=f` with LTO: a wrapper that an input defines and nobody calls ends as an undefined dynamic symbol of the
# program, without a word. LTO has removed it; the glob's use of `f` has become one of `__wrap_f` (lld/ELF/SymbolTable.cpp `wrap`).
# By `-u f` the wrapper stays, and without LTO it stays in any case.
#
# Seen: clang and lld 22.1.8, 29 November 2026.
. "$(dirname "$0")/debian-llvm"
llvm 22.1.8-1~deb12u1

echo 'int f(void) { return 1; }' > f.c
echo 'int main(void) { return 0; }' > main.c
echo 'int __real_f(void); int __wrap_f(void) { return 1 + __real_f(); }' > wrap.c
clang-22 -O2 -fPIC -c f.c
ld.lld-22 -shared f.o -soname libf.so -o libf.so

# Flags, and what asks for f: how the program has the wrapper.
wrapper() {
  clang-22 -O2 -fPIE $1 -c main.c wrap.c
  ld.lld-22 -pie -e main "$2" --wrap=f main.o wrap.o libf.so -o program 2> errors
  [ ! -s errors ] || cat errors
  llvm-nm-22 program | awk '$NF == "__wrap_f" {print $(NF - 1)}'
}
expect 'without LTO, by the glob' "$(wrapper '' '--undefined-glob=f')" T
for lto in -flto=thin -flto=full; do
  expect "$lto, by the glob" "$(wrapper $lto '--undefined-glob=f')" U
  expect "$lto, by name" "$(wrapper $lto '--undefined=f')" T
done
