"""Every Python block of the README runs, as a test file of its own; the rest is held to what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_mockstream import MockStreamClient
from pytest_mockstream.plugin.settings import SETTINGS

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text()
BLOCK = re.compile(r"^(?:<!-- needs: (?P<needs>[\w ]+) -->\n)?```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
OTHERS = ("-p", "no:looptime_plugin", "-p", "no:langsmith_plugin")  # they leave loops unclosed, or warn
BLOCKS = [
    pytest.param(match["code"], match["needs"], id=f"line {TEXT[: match.start()].count(chr(10)) + 1}")
    for match in BLOCK.finditer(TEXT)
]


@pytest.mark.parametrize(("code", "needs"), BLOCKS)
def test_block_runs(pytester: pytest.Pytester, code: str, needs: str | None) -> None:
    for module in (needs or "").split():
        pytest.importorskip(module)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    if code.startswith("# conftest.py\n"):
        pytester.makeconftest(code)
        text = "Bonjour." if "make_client" in code else MockStreamClient().default_text
        code = f"def test_it(mock_stream_client): assert mock_stream_client.default_text == {text!r}"
    pytester.makepyfile(test_block=code)

    result = pytester.runpytest_subprocess("-W", "error", *OTHERS)

    result.assert_outcomes(passed=code.count("def test_"))


def test_blocks_are_found() -> None:
    assert len(BLOCKS) == TEXT.count("```python\n") > 0


def test_every_setting_is_in_the_table() -> None:
    for setting in SETTINGS:
        assert f"`{setting.flag}`" in TEXT, setting.flag
        assert f"`{setting.ini}`" in TEXT, setting.ini
        assert not setting.marker or f"`{setting.name}=`" in TEXT, setting.name
