#!/bin/sh
# A member of an archive that only code generation asks for (memset) comes before the code that asks for it where that is LTO's,
# whatever the order on the command line; without LTO it comes behind. So do its constructors. lld parses LTO's object, which
# extracts the member, before it puts that object among its files (lld/ELF/Driver.cpp, behind `compileBitcodeFiles`).
#
# Seen: clang and lld 22.1.8, 29 November 2026.
. "$(dirname "$0")/debian-llvm"
llvm 22.1.8-1~deb12u1

cat > main.c << 'C'
struct big { char bytes[4000]; };
void start(struct big *it) { __builtin_memset(it, 0, sizeof *it); }
C
echo 'void *memset(void *to, int c, unsigned long n) { char *t = to; while (n--) *t++ = c; return to; }' > routine.c
clang-22 -O2 -fno-builtin -c routine.c
llvm-ar-22 rcs routine.a routine.o

placed() {
  clang-22 -O2 $1 -c main.c
  ld.lld-22 -e start main.o routine.a -o program
  llvm-nm-22 -n program | awk '$2 == "T" {print $3}' | tr '\n' ' '
}
expect 'without LTO' "$(placed '')" 'start memset '
expect 'ThinLTO' "$(placed -flto=thin)" 'memset start '
expect 'regular LTO' "$(placed -flto=full)" 'memset start '
