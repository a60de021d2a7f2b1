"""Whether the holder of a lease is dead is told by the kernel that ran it, and by no other."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from nexus_sched.runtime.identity import PROC, is_dead, own_name

pytestmark = pytest.mark.skipif(not (PROC / "self/ns/pid").exists(), reason="this kernel has no /proc with namespaces")
SLEEPER = "from nexus_sched.runtime.identity import own_name; print(own_name(), flush=True); input()"


def test_own_process_lives():
    assert own_name() == own_name()
    assert own_name().endswith(f":{os.getpid()}")
    assert not is_dead(own_name())


def test_killed_process_is_dead_even_before_anybody_has_waited_for_it():
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        name = process.stdout.readline().decode().strip()
        assert name.endswith(f":{process.pid}")
        assert not is_dead(name)
        process.kill()
        give_up_at_s = time.monotonic() + 10
        while not is_dead(name):
            assert time.monotonic() < give_up_at_s
            time.sleep(0.001)
        process.wait()
        assert is_dead(name)


def test_process_id_that_was_given_out_again_proves_the_former_process_dead():
    host, proof, process = own_name().split(":")
    kernel, _, started = proof.partition(".")
    assert is_dead(f"{host}:{kernel}.{int(started) - 1}:{process}")


@pytest.mark.parametrize(
    "name",
    ["", "leader", "pod-0", "host:12", "host:abc:99999999", "host:abc.1:99999999", "host:{kernel}.1:x", ":::", "a:.:1"],
)
def test_nothing_is_proven_of_names_of_other_machines_or_without_a_proof(name: str):
    kernel = own_name().split(":")[1].partition(".")[0]
    assert not is_dead(name.replace("{kernel}", kernel))
