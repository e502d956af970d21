#!/bin/sh
# `--defsym=f=g` takes the place of an object's own `f`, also where LTO compiles it. Not where `f` is an ifunc: LTO leaves that in
# its object, and the link ends with `duplicate symbol: f`, though each half of it, ifunc or LTO alone, links.
#
# Seen: clang and lld 16.0.6, 19.1.7, 22.1.8, 28 November 2026. What does not prevail is turned into a declaration by llvm's
# `thinLTOFinalizeInModule`, which goes by summaries, and an ifunc has none.
. "$(dirname "$0")/debian-llvm"
llvm 19.1.7-3~deb12u1

cat > plain.c << 'C'
int f(void) { return 1; }
C
cat > ifunc.c << 'C'
static int chosen(void) { return 1; }
static int (*choose(void))(void) { return chosen; }
int f(void) __attribute__((ifunc("choose")));
C
echo 'int f(void); int g(void) { return 7; } int main(void) { return f(); }' > main.c

run() {
  for file in main "$1"; do clang-19 -O2 "$2" -c $file.c -o $file.o; done
  if clang-19 "$2" --ld-path="$here/bin/ld.lld-19" main.o "$1.o" -Wl,--defsym=f=g -o program 2> said; then
    ./program || echo "exit $?"
  else
    sed -n 's/.*error: duplicate/duplicate/p' said
  fi
}
expect 'a function, without LTO' "$(run plain -fno-lto)" 'exit 7'
expect 'a function, ThinLTO' "$(run plain -flto=thin)" 'exit 7'
expect 'an ifunc, without LTO' "$(run ifunc -fno-lto)" 'exit 7'
expect 'an ifunc, ThinLTO' "$(run ifunc -flto=thin)" 'duplicate symbol: f'
