#!/usr/bin/env python3
"""A kernel's vmlinux.o linked by a farm that fails, in each way that farms do; what comes out, and what it costs.

    faults.py BUILD THINLTO_LD FOLDER [FAULT...]

BUILD is a kernel built with CONFIG_LTO_CLANG_THIN=y by LLVM 22, THINLTO_LD this program; everything is made in FOLDER. All
faults if none is named. Run as root: hosts are network namespaces (buildgrid.sh), whose cables are pulled. But for the slow
worker, who is raced, no backend runs here but those that the farm does not do.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Farm:
    """BuildGrid, its workers and their network; made anew for every fault, so that nothing is answered from a cache."""

    def __init__(self, folder):
        self.folder = folder
        subprocess.run(["rm", "-rf", folder], check=True)
        self.call("start", "--netns")
        text = (folder / "env").read_text()
        self.env = dict(line.split("=", 1) for line in text.splitlines())
        self.address = self.env["THINLTO_LD_REMOTE"]

    def call(self, verb, *words):
        subprocess.run(["bash", HERE / "buildgrid.sh", verb, self.folder, *words], check=True, stdout=subprocess.DEVNULL)

    def kill(self, *names):
        for name in names:
            os.kill(int(self.env[name]), signal.SIGKILL)

    def cable(self, host, state):
        subprocess.run(["ip", "link", "set", self.env[f"{host}_LINK"], state], check=True)

    def fault_of_worker(self, name, text=""):
        (self.folder / "worker-1" / name).write_text(text)

    def end(self):
        self.call("stop")


class Casd:
    """One process that is a whole farm, and holds no more than it is told."""

    def __init__(self, folder, quota):
        subprocess.run(["rm", "-rf", folder], check=True)
        folder.mkdir(parents=True)
        tools = Path(subprocess.run([HERE / "casd.sh"], check=True, capture_output=True, text=True).stdout.strip())
        mounts = [f"--runner-arg=--ro-bind-mount=/usr{inside}:{outside}"
                  for inside, outside in [("", "/usr"), ("/lib", "/lib"), ("/lib64", "/lib64"), ("/bin", "/bin")]]
        port = free_port()
        self.port = port
        self.address = f"grpc://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [tools / "buildbox-casd", f"--bind=127.0.0.1:{port}", f"--buildbox-run={tools}/buildbox-run", "--jobs=2",
             f"--quota-high={quota}", *mounts, folder.resolve() / "cache"],
            stdout=(folder / "log").open("w"), stderr=subprocess.STDOUT)
        wait_for(port)

    def end(self):
        self.process.kill()
        self.process.wait()


class Door:
    """nginx before a farm: lets in those who have the key, until the key is another."""

    def __init__(self, folder, port):
        self.folder = folder / "door"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.behind, self.port = port, free_port()
        self.write("valid")
        self.process = subprocess.Popen(self.command())
        self.address = f"grpc://127.0.0.1:{self.port}"
        wait_for(self.port)

    def command(self):
        return ["nginx", "-p", self.folder, "-e", self.folder / "log", "-c", self.folder / "nginx.conf"]

    def write(self, key):
        places = " ".join(f"{what}_temp_path {self.folder}/{what};"
                          for what in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
        (self.folder / "nginx.conf").write_text(
            f"daemon off; pid {self.folder}/pid; error_log {self.folder}/log; events {{}}\n"
            f"worker_shutdown_timeout 1s;\n"
            f"http {{ access_log off; {places} client_max_body_size 0; server {{ listen 127.0.0.1:{self.port} http2;\n"
            f"if ($http_x_api_key != '{key}') {{ return 401; }}\n"
            f"location / {{ grpc_pass grpc://127.0.0.1:{self.behind}; grpc_read_timeout 1h; }} }} }}\n")

    def change_the_key(self):
        self.write("another")
        subprocess.run([*self.command(), "-s", "reload"], check=True)

    def end(self):
        self.process.terminate()
        self.process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing listens at port {port}")


class Bench:
    def __init__(self, build, shim, folder):
        self.build, self.shim, self.folder = build.resolve(), shim.resolve(), folder
        saved = (build / ".vmlinux.o.cmd").read_text()
        line = re.search(r"^savedcmd_vmlinux.o := ([^;]*)", saved, re.M).group(1)
        words = shlex.split(line)[1:]
        at = words.index("-o")
        self.words = words[:at] + words[at + 2:]
        self.reference = folder / "in-process"
        made, archive = self.reference / "vmlinux.o", build / "vmlinux.a"
        if not made.exists() or made.stat().st_mtime < archive.stat().st_mtime:
            self.link("in-process", ["ld.lld-22"], {})

    def link(self, name, linker, env):
        """The folder of its objects, the seconds it took, what it said, its stats."""
        made, stats = self.folder / name, self.folder / f"{name}.stats"
        subprocess.run(["rm", "-rf", made, stats], check=True)
        made.mkdir(parents=True)
        env = os.environ | {
            "THINLTO_LD_LINKER": "ld.lld-22", "THINLTO_LD_MODE": "distributed", "THINLTO_LD_CACHE": "off",
            "THINLTO_LD_STATS": str(stats)} | env
        began = time.monotonic()
        done = subprocess.run([*linker, *self.words, "-o", made / "vmlinux.o", f"--lto-obj-path={made}/P"],
                              cwd=self.build, env=env, stderr=subprocess.PIPE, text=True)
        seconds = time.monotonic() - began
        if done.returncode != 0:
            raise SystemExit(f"{name}: exit {done.returncode}\n{done.stderr}")
        counts = json.loads(stats.read_text())["backends"] if stats.exists() else {}
        return made, seconds, done.stderr, counts

    def by(self, name, address, fault=None, headers="", local="off"):
        """Links by a farm; the fault happens when it has been at work for some seconds."""
        timer = threading.Timer(10, fault or (lambda: None))
        timer.start()
        env = {"THINLTO_LD_ENGINE": "remote", "THINLTO_LD_REMOTE": address, "THINLTO_LD_REMOTE_LOCAL": local,
               "THINLTO_LD_REMOTE_HEADERS": headers}
        made, seconds, said, counts = self.link(name, [self.shim], env)
        timer.cancel()
        timer.join()
        self.judge(name, made, seconds, said, counts)

    def judge(self, name, made, seconds, said, counts):
        objects = sorted(path.name for path in self.reference.glob("P[0-9]*"))
        same = sum((self.reference / object).read_bytes() == (made / object).read_bytes() for object in objects)
        told = {key: value for key, value in counts.items() if value and key != "engine"}
        print(f"{name}: {seconds:.1f} s, {same} of {len(objects)} objects as in-process, {json.dumps(told)}", flush=True)
        for line in said.splitlines():
            print(f"  {line}", flush=True)
        if same != len(objects):
            raise SystemExit(f"{name}: wrong objects")


def on_the_farm(fault, headers=""):
    def run(bench, name):
        farm = Farm(bench.folder / "farm")
        try:
            bench.by(name, farm.address, fault and (lambda: fault(farm)), headers)
        finally:
            farm.end()
    return run


def cut_and_restored(farm):
    farm.cable("SERVER", "down")
    time.sleep(8)
    farm.cable("SERVER", "up")


def before(prepare, local="off"):
    """A fault that is there from the beginning."""
    def run(bench, name):
        farm = Farm(bench.folder / "farm")
        try:
            prepare(farm)
            bench.by(name, farm.address, local=local)
        finally:
            farm.end()
    return run


def expired(bench, name):
    casd = Casd(bench.folder / "casd", "4G")
    door = Door(bench.folder, casd.port)
    try:
        bench.by(name, door.address, door.change_the_key, "x-api-key=valid")
    finally:
        door.end()
        casd.end()


def full(bench, name):
    casd = Casd(bench.folder / "casd", "100M")
    try:
        bench.by(name, casd.address)
    finally:
        casd.end()


FAULTS = {
    "none": on_the_farm(None),
    "worker-killed": on_the_farm(lambda farm: farm.kill("WORKER_1_PID", "WORKER_1_CASD_PID")),
    "network-cut-and-restored": on_the_farm(cut_and_restored),
    "server-killed": on_the_farm(lambda farm: farm.kill("SERVER_PID")),
    "worker-leaves-empty-objects": before(lambda farm: farm.fault_of_worker("empty")),
    "worker-20-times-slower": before(lambda farm: farm.fault_of_worker("slow", "20"), local="on"),
    "expired-key": expired,
    "full-store": full,
}


def main():
    if len(sys.argv) < 4 or any(name not in FAULTS for name in sys.argv[4:]):
        raise SystemExit(f"{__doc__}\nFaults: {' '.join(FAULTS)}")
    folder = Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(Path(sys.argv[1]), Path(sys.argv[2]), folder.resolve())
    for name in sys.argv[4:] or FAULTS:
        FAULTS[name](bench, name)


main()
