#!/bin/sh
# Of an archive and a shared object that both define a symbol, lld takes the first, as the manual has it, if somebody has asked by
# then. A routine that only LTO's code generation asks for comes out of the shared object, even where that is the last word of the
# command line: each shared object that is read takes the place of members that are still lazy.
#
# Seen: clang and lld 16.0.6, 19.1.7, 22.1.8, 28 November 2026 (lld/ELF/Symbols.cpp, `Symbol::resolve(const SharedSymbol &)`).
. "$(dirname "$0")/debian-llvm"
llvm 19.1.7-3~deb12u1

# A division of 128 bits is a call of __divti3, which is known when code is generated and not before.
echo 'volatile __int128 x = 70, y = 10; int main(void) { return (int)(x / y); }' > main.c
echo '__int128 __divti3(__int128 a, __int128 b) { return 1; }' > first.c
echo '__int128 __divti3(__int128 a, __int128 b) { return 2; }' > last.c
clang-19 -O2 -c first.c && llvm-ar-19 rc libfirst.a first.o
clang-19 -O2 -fPIC -shared --ld-path="$here/bin/ld.lld-19" last.c -o liblast.so

run() {
  clang-19 -O2 "$1" -c main.c
  clang-19 "$1" --ld-path="$here/bin/ld.lld-19" main.o libfirst.a liblast.so -Wl,-rpath,"$here" -o program
  ./program || echo "exit $?"
}
expect 'without LTO: of the archive' "$(run -fno-lto)" 'exit 1'
expect 'ThinLTO: of the shared object' "$(run -flto=thin)" 'exit 2'
