#!/usr/bin/env python3
"""lld's own ELF tests with thinlto-ld in ld.lld's place, and what differs from the real ld.lld.

The tests are those of Debian's llvm-toolchain source package. They run twice, with the real ld.lld and with thinlto-ld, and
every test that fares otherwise is reported with how each of its links went. Knows nothing of how links are distributed: it
judges by lit's verdicts and by the stats lines.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
# For the orig tarball of an LLVM whose source the machine's own release does not have.
OTHER_RELEASES = ["trixie", "sid"]
# lit, and the distributor that DTLTO's tests have, where there are any: tar fails over a pattern that finds nothing.
PARTS = ["*/lld/test/*", "*/llvm/utils/[ld][it]*/*"]
PASSED = {"PASS", "XFAIL", "FLAKYPASS"}
ORDERS = ["in-process", "command-line"]


def main():
    asked = arguments()
    suite = Suite(asked)
    suite.fetch()
    real = suite.run("real", asked.tools / "ld.lld", ORDERS[0])
    reports = {}
    for order in asked.order or ORDERS[:1]:
        ours = suite.run(order, HERE / "ld.lld", order)
        reports[order] = Report(real, ours, suite.stats(order))
        print(f"THINLTO_LD_ORDER={order}", reports[order].text(), sep="\n", flush=True)
    if asked.json:
        facts = {order: report.facts() for order, report in reports.items()}
        asked.json.write_text(json.dumps(facts, indent=1) + "\n")
    sys.exit(0 if all(report.is_good(asked.least_distributed) for report in reports.values()) else 1)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llvm", type=int, default=22, metavar="N", help="which LLVM's linker (22)")
    parser.add_argument("--tests-of", type=int, metavar="N", help="which LLVM's tests (the linker's)")
    parser.add_argument("--order", choices=ORDERS, action="append", help="THINLTO_LD_ORDER of a run (in-process); more than once: a run each")
    parser.add_argument("--thinlto-ld", type=pathlib.Path, default=PROJECT / "target/release/thinlto-ld", help="the program to test")
    parser.add_argument("--work", type=pathlib.Path, default=PROJECT / "target/lld-suite", help="where tests are unpacked and run")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="tests at once (every CPU)")
    parser.add_argument("--least-distributed", type=float, default=90, metavar="PERCENT", help="of the ThinLTO links that write an output (90)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write what was found there too")
    parser.add_argument("tests", nargs="*", default=["ELF"], help="tests or folders of them, as under lld/test (ELF)")
    asked = parser.parse_args()
    asked.tests_of = asked.tests_of or asked.llvm
    asked.tools = pathlib.Path(f"/usr/lib/llvm-{asked.llvm}/bin")
    asked.thinlto_ld = asked.thinlto_ld.resolve()
    needed = [asked.thinlto_ld] + [asked.tools / name for name in ["ld.lld", "clang", "llc", "FileCheck"]]
    for program in needed:
        if not program.exists():
            parser.error(f"{program} is not there (cargo build --release; clang-N, lld-N, llvm-N, llvm-N-tools)")
    return asked


class Suite:
    """lld's tests of one LLVM, unpacked, and the runs made of them."""

    def __init__(self, asked):
        self.asked = asked
        self.source = asked.work.resolve() / f"llvm-{asked.tests_of}"
        self.runs = asked.work.resolve() / f"run-{asked.llvm}"

    def fetch(self):
        if self.source.exists():
            return
        package = f"llvm-toolchain-{self.asked.tests_of}"
        folder = self.source.with_suffix(".download")
        for releases in [], OTHER_RELEASES:
            # Where the tarball has come, verified by apt, it does not matter that the package's description has not.
            done = subprocess.run(["sh", PROJECT / "fixtures/debian-source.sh", package, folder, *releases], capture_output=True, text=True)
            tarball = next(folder.glob("*.orig.tar.*"), None)
            if tarball:
                break
        else:
            sys.exit(f"{package} cannot be downloaded: {done.stderr}")
        unpacked = self.source.with_suffix(".unpacked")
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir(parents=True)
        subprocess.run(["tar", "xf", tarball, "-C", unpacked, "--strip-components=1", "--wildcards", *PARTS], check=True)
        unpacked.rename(self.source)
        shutil.rmtree(folder)

    def run(self, name, linker, order):
        """Every test's verdict and output, with `linker` as ld.lld; objects in this order if it is ours."""
        folder = self.runs / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "test").mkdir(parents=True)
        (folder / "stats").mkdir()
        tools = folder / "bin"
        tools.mkdir()
        for tool in self.asked.tools.iterdir():
            (tools / tool.name).symlink_to(linker if tool.name == "ld.lld" else tool)
        (folder / "test/lit.site.cfg.py").write_text(self.site_config(folder, tools, order))
        lit = self.source / "llvm/utils/lit"
        verdicts = folder / "verdicts.json"
        command = [sys.executable, lit / "lit.py", "-q", "--no-progress-bar", f"-j{self.asked.jobs}", "-o", verdicts]
        command += [folder / "test" / test for test in self.asked.tests]
        path = os.pathsep.join([str(lit), str(HERE)])
        environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        with open(folder / "lit.log", "w") as log:
            done = subprocess.run(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if not verdicts.exists():
            sys.exit(f"lit ended with {done.returncode}: {(folder / 'lit.log').read_text()[-2000:]}")
        tests = json.loads(verdicts.read_text())["tests"]
        return {test["name"].removeprefix("lld :: "): test for test in tests}

    def site_config(self, folder, tools, order):
        """lld's own lit.site.cfg.py.in, filled in for Debian's packages as CMake would, and what our links are to know."""
        values = {
            "LLVM_SOURCE_DIR": self.source / "llvm",
            "LLD_SOURCE_DIR": self.source / "lld",
            "LLVM_BINARY_DIR": folder,
            "LLD_BINARY_DIR": folder,
            "LLVM_TOOLS_DIR": tools,
            "CURRENT_TOOLS_DIR": tools,
            "LLVM_LIBS_DIR": self.asked.tools.parent / "lib",
            "CURRENT_LIBS_DIR": self.asked.tools.parent / "lib",
            "SHLIBDIR": self.asked.tools.parent / "lib",
            "SHLIBEXT": ".so",
            "LLVM_HOST_TRIPLE": "x86_64-unknown-linux-gnu",
            "LLVM_TARGET_TRIPLE": "x86_64-unknown-linux-gnu",
            "Python3_EXECUTABLE": sys.executable,
            "LLVM_LIT_ERRC_MESSAGES": "No such file or directory;Is a directory;Invalid argument;Permission denied",
        }
        switches = {
            "LLVM_ENABLE_ZLIB": True,
            "LLVM_ENABLE_ZSTD": True,
            "LLVM_ENABLE_LIBXML2": True,
            "LLVM_ENABLE_PLUGINS": True,
            "LLVM_ENABLE_THREADS": True,
            "CMAKE_SIZEOF_VOID_P": 8,
        }
        template = (self.source / "lld/test/lit.site.cfg.py.in").read_text()
        text = template.replace("@LIT_SITE_CFG_IN_HEADER@", "path = str")
        text = re.sub(r'"@(\w+)@', lambda match: f'"{values.get(match[1], "")}', text)
        text = re.sub(r"@(\w+)@", lambda match: str(switches.get(match[1], False)), text)
        environment = {
            "HOME": folder / "home",
            "XDG_CACHE_HOME": folder / "cache",
            "THINLTO_LD_ORDER": order,
            "THINLTO_LD_LINKER": self.asked.tools / "ld.lld",
            "THINLTO_LD_SUITE_PROGRAM": self.asked.thinlto_ld,
        }
        settings = {name: str(value) for name, value in environment.items()}
        return text + (
            f"config.environment.update({settings!r})\n"
            f"import recorded\nconfig.test_format = recorded.Recorded(config.test_format, {str(folder / 'stats')!r})\n"
        )

    def stats(self, name):
        """The links of each test: stats lines with how the link ended."""
        links = {}
        for file in (self.runs / name / "stats").iterdir():
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            test = "/".join(file.name.split("%"))
            links[test] = [link | ending for link, ending in zip(lines[::2], lines[1::2])]
        return links


class Report:
    """What differs, and how links went."""

    def __init__(self, real, ours, links):
        self.real, self.ours, self.links = real, ours, links
        same = lambda test: (real[test]["code"] in PASSED) == (ours[test]["code"] in PASSED)
        self.differing = sorted(test for test in real if not same(test))
        self.worse = [test for test in self.differing if real[test]["code"] in PASSED]
        every = [link for test in links.values() for link in test]
        thin = [link for link in every if link["mode"] != "passthrough"]
        self.modes = collections.Counter(link["mode"] for link in every)
        self.with_output = [link for link in thin if link["exit"] == 0 and link.get("written", True)]
        self.distributed = sum(link["mode"] == "distributed" for link in self.with_output)

    def share(self):
        """Of the ThinLTO links that wrote an output, how many in a hundred were distributed."""
        return 100 * self.distributed / len(self.with_output) if self.with_output else 100

    def is_good(self, least):
        return not self.worse and self.share() >= least

    def fallbacks(self):
        """Why links went in-process: links that wrote an output, that ended well without, that failed; and tests."""
        table = collections.defaultdict(lambda: [0, 0, 0, set()])
        for test, links in self.links.items():
            for link in links:
                if link["mode"] == "in-process":
                    column = 2 if link["exit"] else 0 if link["written"] else 1
                    row = table[without_files(link["reason"])]
                    row[column] += 1
                    row[3].add(test)
        return sorted(table.items(), key=lambda item: [-count for count in item[1][:3]])

    def facts(self):
        return {
            "verdicts": {name: collections.Counter(test["code"] for test in side.values()) for name, side in [("real", self.real), ("ours", self.ours)]},
            "differing": {test: [self.real[test]["code"], self.ours[test]["code"]] for test in self.differing},
            "failing_with_real": sorted(test for test in self.real if self.real[test]["code"] in ["FAIL", "TIMEOUT", "UNRESOLVED"]),
            "links": self.modes,
            "with_output": len(self.with_output),
            "distributed": self.distributed,
            "fallbacks": [[reason, *row[:3], sorted(row[3])] for reason, row in self.fallbacks()],
        }

    def text(self):
        return "\n".join(self.lines())

    def lines(self):
        for test in self.differing:
            yield f"{test}: {self.real[test]['code']} with the real ld.lld, {self.ours[test]['code']} with thinlto-ld"
            yield from (f"    {how(link)}" for link in self.links.get(test, []))
            yield self.ours[test]["output"]
        for name, side in ("the real ld.lld", self.real), ("thinlto-ld", self.ours):
            counts = collections.Counter(test["code"] for test in side.values())
            yield f"{name}: " + ", ".join(f"{code} {count}" for code, count in sorted(counts.items()))
        yield "links: " + ", ".join(f"{mode} {count}" for mode, count in sorted(self.modes.items()))
        yield ""
        yield "| in-process for | with an output | without | refused by lld | for example |"
        yield "| --- | --- | --- | --- | --- |"
        for reason, (*counts, tests) in self.fallbacks():
            yield f"| {reason} | {' | '.join(map(str, counts))} | {min(tests)} |"
        yield ""
        yield f"{self.distributed} of {len(self.with_output)} ThinLTO links that wrote an output were distributed ({self.share():.1f} %)"
        yield f"{len(self.worse)} tests that pass with the real ld.lld fail with thinlto-ld"


def how(link):
    reason = f" ({link['reason']})" if link["reason"] else ""
    return f"{link['mode']}{reason}, exit {link['exit']}: {link['output']}"


def without_files(reason):
    """A reason that names a file, as one of its kind."""
    return re.sub(r"\S*/\S*", "FILE", reason)


if __name__ == "__main__":
    main()
