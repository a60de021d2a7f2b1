"""Line numbers agree with the text, whatever the file looks like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nexus_sched.config.locate import line_of, lines_by_key

TEXT = '''\
# a comment with [brackets] and key = value
redis_url = "a"

[scheduler] # why
mode = "x"
"quoted" = 1
notes = """
prefetch = 5
[queue]
"""
prefetch = 2
values = [
  1, # ]
  "]",
]
lease = "3s"
a.b.c = 1

[[intake]]
stream = "one"

  [intake.fields]
  type = "kind"

[[intake]]
stream = "two"
[ queue . inner ]
deep = { x = 1 }
'''


def test_lines_by_key_of_a_file_with_everything_in_it():
    found = lines_by_key(TEXT)
    assert found["redis_url",] == 2
    assert found["scheduler",] == 4
    assert found["scheduler", "quoted"] == 6
    assert found["scheduler", "notes"] == 7
    assert found["scheduler", "prefetch"] == 11
    assert found["scheduler", "values"] == 12
    assert found["scheduler", "lease"] == 16
    assert found["scheduler", "a", "b", "c"] == 17
    assert found["intake", 0, "stream"] == 20
    assert found["intake", 0, "fields", "type"] == 23
    assert found["intake", 1, "stream"] == 26
    assert found["queue", "inner", "deep"] == 28
    assert ("queue", "prefetch") not in found


def test_line_of_an_unknown_path_is_that_of_what_is_around_it():
    found = lines_by_key(TEXT)
    assert line_of(found, ("queue", "inner", "deep", "x")) == 28
    assert line_of(found, ("scheduler", "absent")) == 4
    assert line_of(found, ("absent",)) == 1


@given(st.text(alphabet="[]='\"#.\n ab\\{},", max_size=200))
def test_lines_by_key_of_any_text_gives_lines_that_exist(text: str):
    for number in lines_by_key(text).values():
        assert 1 <= number <= len(text.splitlines())
