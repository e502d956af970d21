#!/bin/sh
# A kernel's vmlinux.o with every backend executed by a remote execution engine, its objects against those of in-process lld:
#   tests/remote/kernel.sh BUILD THINLTO_LD grpc://HOST:PORT [FOLDER]
# BUILD is a kernel built with CONFIG_LTO_CLANG_THIN=y by LLVM 22, THINLTO_LD this program. Objects, caches and stats go to FOLDER (a
# new one among the temporary files). Twice with fresh caches of our own, so that the second link is from the action cache.
set -eu
build="$(cd "$1" && pwd)" shim="$(readlink -f "$2")" server="$3"
folder="${4:-$(mktemp -d)}"
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"

# The recorded line without what comes after the link (objtool).
line="$(sed -n 's/^savedcmd_vmlinux.o := //p' "$build/.vmlinux.o.cmd" | sed 's/ *;.*//')"
words="$(echo "$line" | sed 's/^[^ ]* //; s/-o vmlinux.o//')"

link() { # NAME, then the linker
  name="$1"
  shift
  mkdir -p "$folder/$name"
  # shellcheck disable=SC2086 # the words of a command
  (cd "$build" && "$@" $words -o "$folder/$name/vmlinux.o" "--lto-obj-path=$folder/$name/P")
}

[ -f "$folder/in-process/vmlinux.o" ] || link in-process ld.lld-22
export THINLTO_LD_MODE=distributed THINLTO_LD_UNCHANGED=relink THINLTO_LD_LINKER=ld.lld-22 THINLTO_LD_ENGINE=remote
export THINLTO_LD_REMOTE="$server" THINLTO_LD_REMOTE_LOCAL="${THINLTO_LD_REMOTE_LOCAL:-off}" THINLTO_LD_STATS="$folder/stats.json"
for name in first second; do
  rm -rf "${folder:?}/$name" "$folder/cache-$name"
  XDG_CACHE_HOME="$folder/cache-$name" link "$name" "$shim"
  same=0 differing=0
  for object in "$folder"/in-process/P[0-9]*; do
    if cmp -s "$object" "$folder/$name/${object##*/}"; then same=$((same + 1)); else differing=$((differing + 1)); fi
  done
  echo "$name: $same objects the same, $differing not"
  tail -n 1 "$THINLTO_LD_STATS" | grep -o '"backends":.*"cpu_ms":[0-9.]*'
done
