#!/bin/sh
# Three sections of one name in one object: two with SHF_LINK_ORDER, ordered by f and by g, and one without. `ld.lld -r` keeps
# those apart that are ordered by different sections, and puts the one without into the first of them: data of nobody's is
# now ordered by f's section, and goes where that goes, into a discarded group or out with --gc-sections. GNU ld refuses the object
# ("has both ordered and unordered sections"); lld's own final links take it as well.
#
# Seen: lld 16.0.6, 19.1.7, 22.1.8, 23.1.4, 28 November 2026 (lld/ELF/LinkerScript.cpp, `addInputSec`).
. "$(dirname "$0")/debian-llvm"
llvm 19.1.7-3~deb12u1

cat > notes.s << 'S'
.section .text.f,"ax",@progbits
f: ret
.section .text.g,"ax",@progbits
g: ret
.section notes,"ao",@progbits,f
.quad 1
.section notes,"ao",@progbits,g
.quad 2
.section notes,"a",@progbits
.quad 3
S
clang-19 -c notes.s
# Size and flags of each section of that name.
notes() { llvm-readelf-19 -SW "$1" | sed -n 's/.* notes  *PROGBITS  *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\) 00  *\([A-Z]*\) .*/\1 \2/p' | tr '\n' ' '; }

expect 'the object' "$(notes notes.o)" '000008 AL 000008 AL 000008 A '
ld.lld-19 -r notes.o -o joined.o
expect 'ld.lld -r' "$(notes joined.o)" '000010 AL 000008 AL '
