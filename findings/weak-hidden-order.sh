#!/bin/sh
# Whether lld makes a link can depend on the order of two objects on its command line, neither of them in an archive. A weak reference
# that keeps a symbol to its own output (`weak`, hidden) takes the place of a shared library's definition that was met before, as an
# undefined weak symbol: a strong reference in a later object makes that an error; one in an earlier object has been forgotten, and
# the link succeeds with the function at address zero (lld/ELF/Symbols.cpp, `Symbol::resolve(const Undefined &)`).
#
# Seen: lld 22.1.8, 29 November 2026.
. "$(dirname "$0")/debian-llvm"
llvm 22.1.8-1~deb12u1

echo 'int f(void) { return 5; }' > library.c
cat > weak.c << 'C'
__attribute__((weak, visibility("hidden"))) int f(void);
int strong(void);
int main(void) { return f ? f() : strong(); }
C
echo 'int f(void); int strong(void) { return f(); }' > strong.c
clang-22 -O1 -fPIC -c library.c weak.c strong.c
ld.lld-22 -shared library.o -o library.so

link() { ld.lld-22 -e main "$@" -o program 2>&1 | sed -n 's/^.*error: //p'; }
expect 'weak before strong' "$(link library.so weak.o strong.o)" 'undefined hidden symbol: f'
expect 'strong before weak' "$(link library.so strong.o weak.o)" ''
expect 'what is left of f' "$(llvm-readelf-22 -sW program | awk '$8 == "f" {print $5, $6, $7}')" 'LOCAL HIDDEN UND'
