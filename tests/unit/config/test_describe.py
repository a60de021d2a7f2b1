"""The schema as data: complete, explained, and the same for file, page and editor."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from nexus_sched._kernel.bill import ROWS_MAX
from nexus_sched.config.describe import Key, json_schema, keys, sections
from nexus_sched.config.load import load
from nexus_sched.config.reference import render
from nexus_sched.config.schema import ALIASES, SchedulerSection
from nexus_sched.config.values import mask_url, read_value
from nexus_sched.model.settings import FALLBACKS, MODES, OBJECTIVES, ORDERS

SCALARS = [key for key in keys().values() if key.single]


@pytest.mark.parametrize("key", keys().values(), ids=lambda key: key.path)
def test_key_has_a_description_that_is_a_sentence(key: Key):
    assert key.description.endswith("."), key.path


@pytest.mark.parametrize("key", [key for key in SCALARS if key.default is not None], ids=lambda key: key.path)
def test_key_default_as_written_is_read_back(key: Key):
    written = tomllib.loads(f"value = {key.write(key.default)}")["value"]
    assert read_value(key, written, textual=False) == key.default


def test_section_has_a_description():
    assert all(section.description for section in sections())


def test_schema_modes_and_fallbacks_are_those_of_the_engine():
    hints = get_type_hints(SchedulerSection)
    assert set(get_args(hints["mode"])) == set(MODES)
    assert set(get_args(hints["fallback"])) == set(FALLBACKS)
    assert set(get_args(hints["objective"])) == set(OBJECTIVES)
    assert set(get_args(hints["order"])) == set(ORDERS)


def test_schema_bound_of_a_bill_is_that_of_the_kernel():
    assert keys()["scheduler.explain_top"].highest == ROWS_MAX


def test_aliases_lead_to_keys():
    assert {path for path, _ in ALIASES.values()} <= keys().keys()


def test_json_schema_knows_every_key():
    properties = json_schema()["properties"]
    for section in sections():
        outer, _, name = section.name.rpartition(".")
        table = (properties[outer]["properties"] if outer else properties)[name]
        table = table["items"] if section.repeated else table
        table = table["additionalProperties"] if section.named else table
        inner = {each.name.rpartition(".")[2] for each in sections() if each.name.startswith(f"{section.name}.")}
        assert table["properties"].keys() == {key.name for key in section.keys} | inner
    assert properties["heartbeat_timeout_ms"]["type"] == "integer"
    assert properties["scheduler"]["properties"]["lease"]["default"] == "1s"


def test_reference_page_is_fresh(root: Path):
    page = (root / "docs/reference/configuration.md").read_text()
    assert page == render(), "run `make docs` and commit the result"


def test_reference_page_and_example_of_the_readme_name_no_unknown_key(root: Path, tmp_path: Path):
    text = (root / "README.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```toml\n")[1:]]
    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        load(file)


def test_mask_url_hides_the_password_and_nothing_else():
    assert mask_url("redis://user:p:w@host:1/0") == "redis://user:***@host:1/0"
    assert mask_url("redis://:pw@host") == "redis://:***@host"
    assert mask_url("redis://host:6379/0") == "redis://host:6379/0"
