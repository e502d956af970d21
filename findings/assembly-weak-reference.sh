#!/bin/sh
# A weak reference in module assembly does not keep what it refers to: LTO, thin and regular, removes the definition in another
# module, and the program finds a null pointer where without LTO it finds the function. Nobody says a word.
#
# Seen: clang and lld 16.0.6, 19.1.7, 22.1.8, 28 November 2026. To llvm's symbol table of a bitcode file an undefined symbol of
# assembly that is weak is not global (llvm/lib/Object/ModuleSymbolTable.cpp, `CollectAsmSymbols`: `UndefinedWeak`), so the
# linker is not told of it, and tells LTO that nobody outside uses the definition. A strong reference (`.quad` alone) does keep
# it, and so does a weak one in C beside the assembly.
. "$(dirname "$0")/debian-llvm"
llvm 19.1.7-3~deb12u1

cat > table.c << 'C'
int puts(const char *);
extern void *table[];
__asm__(".pushsection .data.table,\"aw\"\n.globl table\ntable:\n" BINDING ".quad plugin\n.popsection");
int main(void) { return puts(table[0] ? "plugin" : "no plugin") < 0; }
C
echo 'int plugin(void) { return 42; }' > plugin.c

run() {
  clang-19 -O2 "$2" "-DBINDING=\"$1\"" -c table.c -o table.o
  clang-19 -O2 "$2" -c plugin.c -o plugin.o
  clang-19 "$2" --ld-path="$here/bin/ld.lld-19" table.o plugin.o -o program
  ./program
}
expect 'weak, without LTO' "$(run '.weak plugin\n' -fno-lto)" 'plugin'
expect 'weak, ThinLTO' "$(run '.weak plugin\n' -flto=thin)" 'no plugin'
expect 'weak, regular LTO' "$(run '.weak plugin\n' -flto)" 'no plugin'
expect 'strong, ThinLTO' "$(run '' -flto=thin)" 'plugin'
