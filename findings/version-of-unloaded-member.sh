#!/bin/sh
# An archive's member that is never loaded changes the version under which a shared library exports a function of another file. A
# member that would define `f` as `f@@V2` is entered into lld's symbol table as a lazy `f`, and the name it is entered by stays with
# the symbol, whoever defines it in the end (lld/ELF/SymbolTable.cpp, `SymbolTable::insert`). Programs linked against that library ask
# for f@V2; with the archive left away, or linked by GNU ld, they ask for f@V1, which is what the version script says.
#
# Seen: lld 16.0.6, 19.1.7 and 22.1.8, with and without LTO, wherever the archive stands; GNU ld 2.40 exports f@@V1; 29 November 2026.
. "$(dirname "$0")/debian-llvm"
llvm 22.1.8-1~deb12u1

echo 'int f(void) { return 1; }' > first.c
cat > second.c << 'C'
int second(void) { return 2; }
__asm__(".symver second, f@@V2");
C
echo 'V1 { global: f; local: *; }; V2 { };' > versions
clang-22 -O1 -fPIC -c first.c second.c
llvm-ar-22 rc second.a second.o

exported() {
  ld.lld-22 -shared --version-script=versions "$@" -o library.so
  llvm-readelf-22 --dyn-syms -W library.so | grep -o 'f@.*'
}
expect 'f alone' "$(exported first.o)" 'f@@V1'
expect 'f, and an archive behind it' "$(exported first.o second.a)" 'f@@V2'
expect 'an archive, and f behind it' "$(exported second.a first.o)" 'f@@V2'
expect 'members of the archive in the library' "$(llvm-nm-22 library.so | grep -c second || true)" 0
