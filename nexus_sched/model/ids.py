"""Names and their bounds. Everything that names something is checked here once, at the border.

Inside the package an id is a plain `str` that has passed one of these checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from nexus_sched.errors import InvalidInput

TASK_ID_LENGTH_MAX = 128
WORKER_ID_LENGTH_MAX = 128
TASK_TYPE_LENGTH_MAX = 200
WORKER_CLASS_LENGTH_MAX = 128

_TASK_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_WORKER_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TASK_TYPE = re.compile(r"[A-Za-z0-9._:/-]{1,200}")
_WORKER_CLASS = re.compile(r"[A-Za-z0-9._:/-]{0,128}")
_POOL = re.compile(r"[a-z0-9-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9._:/@+=-]{0,128}")  # of a tenant, a key, an affinity
_TAINT = re.compile(r"[A-Za-z0-9._:/@+=-]{1,128}")
_LABEL = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9._:/@+=-]{0,128}")
_RESOURCE = re.compile(r"[A-Za-z0-9._:/-]{1,64}")


def _checker(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    fullmatch = pattern.fullmatch

    def check(text: str) -> str:
        if fullmatch(text) is None:
            raise InvalidInput(f"{what} {text[:160]!r} does not match {pattern.pattern}")
        return text

    check.__doc__ = f"`text` itself if it is a valid {what}; raises `InvalidInput` otherwise."
    return check


check_task_id = _checker(_TASK_ID, "task id")
check_worker_id = _checker(_WORKER_ID, "worker id")
check_task_type = _checker(_TASK_TYPE, "task type")
check_worker_class = _checker(_WORKER_CLASS, "worker class")
check_pool = _checker(_POOL, "pool")
check_name = _checker(_NAME, "name")
check_taint = _checker(_TAINT, "taint")
check_label = _checker(_LABEL, "label")
check_label_value = _checker(_LABEL_VALUE, "value of a label")
check_resource = _checker(_RESOURCE, "resource")
