"""What the files of a trace are called."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_mockstream._base.redaction import Secrets
from pytest_mockstream.plugin.trace_files import name_of

NONE = Secrets(environment={})
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


@pytest.mark.parametrize(
    ("nodeid", "name"),
    [
        ("tests/test_bot.py::test_x", "tests-test_bot.py-test_x"),
        ("tests/test_bot.py::test_x[en]", "tests-test_bot.py-test_x-en"),
        ("tests/test_bot.py::test_x[en-1.5]", "tests-test_bot.py-test_x-en-1.5"),
        ("test_bot.py::TestBot::test_x", "test_bot.py-TestBot-test_x~"),
        ("my-app/test_bot.py::test_x", "my-app-test_bot.py-test_x~"),
        ("a.d/test_bot.py::test_x", "a.d-test_bot.py-test_x~"),
        ("README.md::README.md", "README.md-README.md~"),
        ("test_bot.py::test_x[../../etc/passwd]", "test_bot.py-test_x-..-..-etc-passwd~"),
        ('test_bot.py::test_x[a<b>:"|?*\\x00\n]', "test_bot.py-test_x-a-b-x00~"),
        ("test_bot.py::test_größe[ß]", "test_bot.py-test_gr-e~"),
        ("con.py::test_x", "_con.py-test_x~"),
        ("test_bot.py::test_x[]", "test_bot.py-test_x~"),
        ("test_bot.py::test_" + "x" * 300, "test_bot.py-test_" + "x" * 103 + "~"),
        ("test_bot.py::test_x[sk-proj-abcdefghijklmnop]", "test_bot.py-test_x-redacted~"),
    ],
)
def test_name_is_the_tests(nodeid: str, name: str) -> None:
    found = name_of(nodeid, NONE)

    assert re.fullmatch(re.escape(name) + ("[0-9a-f]{8}" if name.endswith("~") else ""), found), found


IDS = st.lists(
    st.sampled_from(["a", "A", "b.py", "::", "/", "[", "]", "-", "_", ".", "test", "con", "é", "\ud800", " ", "1"]),
    min_size=1,
    max_size=12,
).map("".join)


@given(st.lists(IDS, min_size=2, max_size=6, unique=True))
@example(["a/b.py::test", "a-b.py::test"])
@example(["b.py::test[a]", "b.py::test::a", "b.py::test-a", "b.py::test/a"])
@example(["a.py/b.py::test", "a.py::b.py::test", "a.py::b[py-test]"])
@example(["b.py::test_a", "b.py::test_A"])
def test_no_two_tests_have_one_name_and_all_are_legal(nodeids: list[str]) -> None:
    names = [name_of(nodeid, NONE) for nodeid in nodeids]

    for one, other in combinations(names, 2):
        assert one.lower() != other.lower()
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_.~-]{1,130}", name)
        assert not RESERVED.match(name)
        assert not name.startswith(("-", "."))


def test_value_of_the_environment_is_in_no_name() -> None:
    secrets = Secrets(environment={"BOT_TOKEN": "tuesday-9-bananas"})

    assert "bananas" not in name_of("test_bot.py::test_x[tuesday-9-bananas]", secrets)
