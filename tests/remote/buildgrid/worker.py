"""A worker for BuildGrid: takes leases from the Bots service and has buildbox-run execute them, over a buildbox-casd of its own.

Knows nothing of what is executed. Each slot is a bot with one lease at a time. While it runs it can be made a bad worker, by
files in its folder: `slow` (the factor by which everything takes longer), `empty` (outputs are replaced by an empty file).
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time

import grpc
from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2 as rex
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import bots_pb2, bots_pb2_grpc, worker_pb2

# How long the server may keep a call that waits for work: well below the time after which it gives a silent bot up.
WAIT = 8
# How often it is told that a lease is still being worked on, in seconds.
BEAT = 1
EMPTY = rex.Digest(hash="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", size_bytes=0)

stopping = threading.Event()


def log(*words):
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


class Slot:
    def __init__(self, options, number):
        self.options = options
        self.name = f"{options.name}-{number}"
        self.dir = os.path.join(options.dir, f"slot-{number}")
        os.makedirs(self.dir, exist_ok=True)
        self.channel = grpc.insecure_channel(
            options.server, options=[("grpc.max_reconnect_backoff_ms", 2000), ("grpc.initial_reconnect_backoff_ms", 200)]
        )
        self.bots = bots_pb2_grpc.BotsStub(self.channel)

    def session(self):
        properties = [worker_pb2.Device.Property(key="OSFamily", value="linux")]
        worker = worker_pb2.Worker(devices=[worker_pb2.Device(handle="cpu", properties=properties)])
        session = bots_pb2.BotSession(bot_id=self.name, status=bots_pb2.OK, worker=worker)
        return self.bots.CreateBotSession(bots_pb2.CreateBotSessionRequest(parent="", bot_session=session), timeout=WAIT)

    def update(self, session):
        request = bots_pb2.UpdateBotSessionRequest(name=session.name, bot_session=session)
        return self.bots.UpdateBotSession(request, timeout=WAIT)

    def work(self):
        session = None
        while not stopping.is_set():
            try:
                session = self.session() if session is None else self.update(session)
                leases = [lease for lease in session.leases if lease.state == bots_pb2.ACTIVE]
                if leases:
                    session = self.execute(session, leases[0])
            except grpc.RpcError as error:
                log(self.name, error.code(), error.details())
                # Not a matter of patience: the server does not know us any more, and has given our lease to another.
                if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
                    session = None
                stopping.wait(0.5)
        if session is not None:
            session.status = bots_pb2.BOT_TERMINATING
            try:
                self.update(session)
            except grpc.RpcError as error:
                log(self.name, "leaving:", error.code())

    def execute(self, session, lease):
        """Runs the lease's action; the session with it completed, or without it where the server no longer wants it."""
        files = {name: os.path.join(self.dir, name) for name in ("action", "result")}
        with open(files["action"], "wb") as file:
            file.write(lease.payload.value)
        if os.path.exists(files["result"]):
            os.unlink(files["result"])
        started = time.monotonic()
        command = [
            self.options.buildbox_run,
            f"--remote=unix:{self.options.dir}/casd.sock",
            f"--action={files['action']}",
            f"--action-result={files['result']}",
            "--log-level=warning",
        ]
        for mount in ("/usr:/usr", "/usr/lib:/lib", "/usr/lib64:/lib64", "/usr/bin:/bin"):
            command.append(f"--ro-bind-mount={mount}")
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            while not self.ended(run, started):
                session = self.update(session)
                if lease.id not in [held.id for held in session.leases]:
                    log(self.name, "cancelled", lease.id)
                    return session
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
        self.complete(session, lease, run.returncode, files["result"])
        return session

    def ended(self, run, started):
        try:
            run.wait(BEAT)
        except subprocess.TimeoutExpired:
            return False
        factor = self.told("slow")
        if factor is None:
            return True
        # A slow worker: what it has made in no time is not yet there.
        if not hasattr(run, "until"):
            run.until = time.monotonic() + (time.monotonic() - started) * (float(factor or 20) - 1)
        stopping.wait(min(BEAT, max(0.0, run.until - time.monotonic())))
        return time.monotonic() >= run.until

    def complete(self, session, lease, status, result_file):
        result = rex.ActionResult()
        try:
            with open(result_file, "rb") as file:
                result.ParseFromString(file.read())
        except OSError:
            status = status or 1
        held = next(held for held in session.leases if held.id == lease.id)
        held.state = bots_pb2.COMPLETED
        if status:
            held.status.code = grpc.StatusCode.INTERNAL.value[0]
            held.status.message = f"buildbox-run ended with {status}"
        else:
            if self.told("empty") is not None:
                for output in result.output_files:
                    output.digest.CopyFrom(EMPTY)
            result.execution_metadata.worker = self.options.name
            held.result.Pack(result)

    def told(self, name):
        """What is in this file of the worker's folder; None if it is not there."""
        try:
            with open(os.path.join(self.options.dir, name)) as file:
                return file.read().strip()
        except FileNotFoundError:
            return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True, help="host:port")
    parser.add_argument("--name", required=True)
    parser.add_argument("--dir", required=True, help="where casd.sock is, absolute")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--buildbox-run", required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threads = [threading.Thread(target=Slot(options, number).work) for number in range(options.slots)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
