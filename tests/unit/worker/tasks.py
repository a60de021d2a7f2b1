"""Functions for child processes, which import them by name."""

from __future__ import annotations

import os
import signal
import time

from nexus_sched.worker import App, current

app = App()


@app.task(run_in="process")
def process_id() -> int:
    return os.getpid()


@app.task(run_in="process")
def divide(a: int, b: int) -> float:
    print("standard output is the task's own")
    return a / b


@app.task(run_in="process", timeout="300ms")
def stuck() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    time.sleep(60)


@app.task(run_in="process")
def hold(mebibytes: int) -> int:
    return len(b"x" * mebibytes * 2**20)


@app.task(run_in="process")
def compute(cpu_ms: float) -> None:
    until_s = time.thread_time() + cpu_ms / 1e3
    while time.thread_time() < until_s:
        pass


@app.task(run_in="process")
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(run_in="process")
def obedient() -> str:
    return "stopped" if current().wait(60) else "ran through"


@app.task(run_in="process")
def deaf() -> None:
    time.sleep(60)
