"""The gRPC interface: generated code is fresh, the table of calls is the service, and the source keeps buf's rules."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.proto.service import MESSAGES, SERVICE

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "proto"


def generator():
    spec = spec_from_file_location("proto_generate", SOURCE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_messages_are_fresh(tmp_path: Path):
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    written = generator().generate(tmp_path)
    assert [path.name for path in written] == ["worker_service_pb2.py", "worker_service_pb2.pyi"]
    for path in written:
        committed = ROOT / "nexus_sched" / "proto" / path.name
        assert committed.read_bytes() == path.read_bytes(), f"{path.name} is stale: run `make proto`"


def test_table_of_calls_is_the_service():
    described = messages.DESCRIPTOR.services_by_name["WorkerService"]
    assert described.full_name == SERVICE
    declared = {
        f"/{SERVICE}/{method.name}": (method.input_type.full_name, method.output_type.full_name)
        for method in described.methods
    }
    assert declared == {
        path: (asked.DESCRIPTOR.full_name, answer.DESCRIPTOR.full_name) for path, (asked, answer) in MESSAGES.items()
    }


def test_source_keeps_the_rules_of_buf():
    buf = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")
    if buf is None:
        pytest.skip("buf is not installed (pip: buf-bin)")
    found = subprocess.run([buf, "lint"], cwd=SOURCE, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (0, "")
