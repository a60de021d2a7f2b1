"""Names are checked once, at the border, and bounded."""

from __future__ import annotations

import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.model.ids import check_pool, check_task_id, check_task_type, check_worker_class, check_worker_id


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (check_task_id, ["a", "A.b_c:d-9", "x" * 128, "0190b5e4-7d3f-7000-8000-000000000000"]),
        (check_worker_id, ["host-1:4711", "x" * 128]),
        (check_task_type, ["reports.build", "a/b:c", "x" * 200]),
        (check_worker_class, ["", "gpu/a100", "x" * 128]),
        (check_pool, ["default", "a-1", "x" * 64]),
    ],
)
def test_good_name_is_given_back(check, good: list[str]):
    assert [check(name) for name in good] == good


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (check_task_id, ["", "a b", "a\n", "a/b", "x" * 129, "\u00e4", "\u0663", "a\x00", "\ud800"]),
        (check_worker_id, ["", "a b", "w\n", "a/b", "x" * 129]),
        (check_task_type, ["", "a b", "t\n", "x" * 201, "\u4e94"]),
        (check_worker_class, [" ", "a\n", "x" * 129]),
        (check_pool, ["", "Default", "a_b", "a.b", "{a}", "x" * 65, "a\n"]),
    ],
)
def test_bad_name_is_refused_with_a_short_message(check, bad: list[str]):
    for name in bad:
        with pytest.raises(InvalidInput) as caught:
            check(name)
        assert len(str(caught.value)) < 1_000
        str(caught.value).encode("utf-8")  # it can be written down whatever was in the name
