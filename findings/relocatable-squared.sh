#!/bin/bash
# `ld.lld -r` takes four times as long for twice as many functions where each has a section with SHF_LINK_ORDER of one name, as
# -fpatchable-function-entry, KCFI and -fbasic-block-address-map make them with -ffunction-sections: 10,000 are seconds, a kernel's
# 100,000 minutes. For each such section lld looks through all output sections of that name so far (lld/ELF/LinkerScript.cpp,
# `addInputSec`). The same objects with a name for each section are linked in linear time. A final link does not do so.
#
# Seen: lld 16.0.6, 19.1.7, 22.1.8, 23.1.4, 28 November 2026. On the machine of that day, lld 19: 2,000 0.1 s, 4,000 0.5 s, 8,000 2 s.
. "$(dirname "$0")/debian-llvm"
llvm 19.1.7-3~deb12u1

object() { # functions, name of the sections (a number is appended where it ends in "_")
  for ((n = 0; n < $1; n++)); do
    name=$2
    case $2 in *_) name=$2$n ;; esac
    printf '.section .text.f%d,"ax",@progbits\nf%d: ret\n.section %s,"awo",@progbits,.text.f%d,unique,%d\n.quad f%d\n' $n $n "$name" $n $n $n
  done > object.s
  clang-19 -c object.s
}
milliseconds() { # of CPU time
  object "$1" "$2"
  TIMEFORMAT=%U
  used=$({ time ld.lld-19 --threads=1 -r object.o -o out.o; } 2>&1)
  echo $((10#${used/./}))
}
growth() { # for twice as many functions, in words
  few=$(milliseconds 5000 "$1") many=$(milliseconds 10000 "$1")
  if ((many > 3 * few)); then echo 'squared'; elif ((2 * many < 5 * few)); then echo 'linear'; else echo 'neither'; fi
}
expect 'sections of one name' "$(growth entries)" 'squared'
expect 'a name for each' "$(growth entries_)" 'linear'
