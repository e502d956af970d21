#!/bin/sh
# `clang -mllvm -enable-loopinterchange` was how one turned the pass on. clang 22 still takes the words, says nothing, and does not
# run the pass: it sets the pipeline's switch by `-floop-interchange` alone, whatever LLVM's own option says. lld, in LTO, goes by
# LLVM's option. So the same words mean two things in two halves of one build.
#
# Seen: clang and lld 19.1.7 (both heed it), 22.1.8 (lld does, clang does not), 28 November 2026. In 23 lld's LTO has the pass on by
# itself, and clang still has it off (clang/lib/CodeGen/BackendUtil.cpp and lld/ELF/LTO.cpp, `PTO.LoopInterchange`).
. "$(dirname "$0")/debian-llvm"
llvm 19.1.7-3~deb12u1
llvm 22.1.8-1~deb12u1

cat > loop.c << 'C'
int a[512][512], b[512][512];
int main(void) {
  for (int j = 0; j < 512; j++)
    for (int i = 0; i < 512; i++) a[i][j] += b[i][j];
  return a[1][2];
}
C
# How often the pass stands in the pipeline that a command prints.
passes() { "$@" -mllvm -print-pipeline-passes 2>&1 | tr ',' '\n' | grep -c '^loop-interchange' || true; }
for v in 19 22; do
  clang-$v -O2 -flto=thin -c loop.c -o loop-$v.o
done
lld() { passes ld.lld-22 --thinlto-jobs=1 -e main loop-22.o -o loop "$@"; }

expect 'clang 19' "$(passes clang-19 -O2 -c loop.c)" 0
expect 'clang 19 -mllvm -enable-loopinterchange' "$(passes clang-19 -O2 -c loop.c -mllvm -enable-loopinterchange)" 1
expect 'clang 22 -mllvm -enable-loopinterchange' "$(passes clang-22 -O2 -c loop.c -mllvm -enable-loopinterchange)" 0
expect 'clang 22 -floop-interchange' "$(passes clang-22 -O2 -c loop.c -floop-interchange)" 1
expect 'lld 22, ThinLTO' "$(lld)" 0
expect 'lld 22, ThinLTO, -mllvm -enable-loopinterchange' "$(lld -mllvm -enable-loopinterchange)" 1
