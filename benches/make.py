#!/usr/bin/env python3
"""A kernel developer's whole `make` after a one-line edit, through thinlto-ld and with in-process lld, in pairs.

Both have a copy of one build folder (`make O=`, CONFIG_LTO_CLANG_THIN) and the same edited source tree, which is put back in
the end. Knows nothing of how either links: it times make. As a last word the kernel made through thinlto-ld can be booted.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

EDITED = "kernel/fork.c"
LINE = "return total;"


def main():
    asked = arguments()
    source = asked.tree / EDITED
    original = source.read_text()
    if original.count(LINE) != 1:
        sys.exit(f"{source}: “{LINE}” does not stand there once: this benchmark does not know how to edit it")
    asked.work.mkdir(parents=True, exist_ok=True)
    makes = [Make(asked, "in-process", f"ld.lld{asked.llvm}"), Make(asked, "thinlto-ld", named(asked))]
    try:
        for make in makes:
            make.run()
        pairs = [pair(makes, number, source, original) for number in range(1, asked.pairs + 1)]
        report(pairs, makes[1].run(), makes[0].run())
        if asked.boot:
            subprocess.run([asked.boot, makes[1].folder], check=True)
    finally:
        source.write_text(original)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", type=pathlib.Path, help="the kernel's source, edited meanwhile")
    parser.add_argument("build", type=pathlib.Path, help="a folder it was built in; only read")
    parser.add_argument("thinlto_ld", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path, help="for the two copies of the build folder and a cache")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--llvm", default="-22", help="as in make LLVM= (-22)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--boot", help="a program to be given the folder built through thinlto-ld")
    asked = parser.parse_args()
    for name in "tree", "build", "thinlto_ld", "work":
        setattr(asked, name, getattr(asked, name).resolve())
    return asked


def named(asked):
    """thinlto-ld by a name that says which LLVM stands behind it."""
    link = asked.work / f"thinlto-ld{asked.llvm}"
    link.unlink(missing_ok=True)
    link.symlink_to(asked.thinlto_ld)
    return str(link)


class Make:
    """One who makes the kernel, in a folder of their own."""

    def __init__(self, asked, name, linker):
        self.folder = asked.work / name
        if not self.folder.exists():
            shutil.copytree(asked.build, self.folder, symlinks=True, copy_function=shutil.copy2)
        self.command = ["make", "-s", "-C", asked.tree, f"O={self.folder}", f"LLVM={asked.llvm}", f"LD={linker}", f"-j{asked.jobs}"]
        left = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
        self.environment = {name: value for name, value in os.environ.items() if name not in left}
        self.environment |= {"XDG_CACHE_HOME": str(asked.work / "cache"), "THINLTO_LD_MODE": "distributed"}

    def run(self):
        """Seconds of a make."""
        began = time.monotonic()
        done = subprocess.run(self.command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{self.command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return time.monotonic() - began


def pair(makes, number, source, original):
    """Seconds of each after the `number`th edit: each has another number of instructions, so none has been seen before."""
    steps = "".join(f"total ^= total >> {step % 7 + 1}, total += {number}, " for step in range(number))
    source.write_text(original.replace(LINE, f"return ({steps}total);"))
    order = makes if number % 2 else makes[::-1]
    seconds = {make: make.run() for make in order}
    inprocess, ours = (seconds[make] for make in makes)
    print(f"edit {number}: in-process {inprocess:.1f} s, thinlto-ld {ours:.1f} s", flush=True)
    return inprocess, ours


def report(pairs, unchanged, unchanged_inprocess):
    ratios = [ours / inprocess for inprocess, ours in pairs]
    inprocess, ours = (statistics.median(side) for side in zip(*pairs))
    print(
        f"make after an edit of {EDITED}: {statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f}) of in-process, "
        f"{ours:.1f} s and {inprocess:.1f} s, {len(pairs)} pairs; without an edit {unchanged:.1f} s and {unchanged_inprocess:.1f} s"
    )


if __name__ == "__main__":
    main()
