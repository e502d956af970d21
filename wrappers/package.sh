#!/bin/sh
# Builds packages of thinlto-ld: a .deb for /usr, and a tarball for /usr/local to be unpacked in `/`. Needs cargo and, for
# the .deb, dpkg-deb.
#
#   sh wrappers/package.sh [LLVM,...]      as 22,19: those that get a name of their own; the first is what files of build systems
#                                          name. Without: those on PATH, the newest first.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin"
target=${CARGO_TARGET_DIR:-$PWD/target}
out=$target/package
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
description=$(sed -n 's/^description = "\(.*\)"/\1/p' Cargo.toml)
machine=$(uname -m)

cargo build --release --locked
rm -rf "$out"
mkdir -p "$out"

# Everything for a prefix, below the folder of the package.
staged() {
  "$target/release/thinlto" install --prefix "$2" --destdir "$1" ${llvms:+--llvm "$llvms"} > "$out/install.log"
}

# The newest C library that the programs ask for.
libc() {
  grep -aoh 'GLIBC_[0-9.]*' "$target/release/thinlto" "$target/release/thinlto-ld" | sed 's/GLIBC_//' | sort -V | tail -n 1
}

llvms=${1:-}
staged "$out/tree" /usr/local
tarball=$out/thinlto-ld-$version-$machine-linux-gnu.tar.gz
tar --owner=0 --group=0 --sort=name -C "$out/tree" -czf "$tarball" .
echo "$tarball"

if command -v dpkg-deb > /dev/null; then
  architecture=$(dpkg --print-architecture)
  staged "$out/deb" /usr
  gzip -9n "$out/deb/usr/share/man/man1"/*.1
  # dpkg keeps a list of its own.
  rm "$out/deb/usr/lib/thinlto-ld/manifest"
  for license in LICENSE-*; do
    install -Dm 644 "$license" "$out/deb/usr/share/doc/thinlto-ld/$license"
  done
  mkdir "$out/deb/DEBIAN"
  cat > "$out/deb/DEBIAN/control" <<- CONTROL
	Package: thinlto-ld
	Version: $version
	Architecture: $architecture
	Maintainer: ${DEBFULLNAME:-whoever built it} <${DEBEMAIL:-$(id -un)@$(uname -n)}>
	Section: devel
	Priority: optional
	Depends: libc6 (>= $(libc)), libgcc-s1
	Suggests: clang, lld, llvm
	Installed-Size: $(du -sk "$out/deb/usr" | cut -f 1)
	Description: $description
	 A stand-in for ld.lld that makes the thin link, compiles the backends itself, here or on a build farm, keeps what it has
	 compiled, and links the native objects by the real ld.lld.
	CONTROL
  package=$out/thinlto-ld_${version}_$architecture.deb
  dpkg-deb --root-owner-group --build "$out/deb" "$package" > /dev/null
  echo "$package"
fi
