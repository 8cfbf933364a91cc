"""The README and the guide: every block runs in a project as the README has it made; what is generated is current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from guide import names
from guide.pages import EXAMPLES, PAGES, README, ROOT, Block, blocks, runnable
from make_guide import made, to_make

_LINK = re.compile(r"\]\((?!https?:)(?P<page>[^)#\s]*)(?:#(?P<chapter>[^)]+))?\)")
_REFERENCE = re.compile(r"^\[(?P<name>[^\]]+)\]: \S+/main/(?P<path>\S+)$", re.MULTILINE)
_TESTS = [
    pytest.param(block, id=str(block), marks=[] if page == README else pytest.mark.slow)
    for page in PAGES
    for block in runnable(page)
]
_SCRIPTS = [
    pytest.param(block, id=str(block))
    for page in PAGES
    for block in blocks(page)
    if block.language == "toml" and "[[script]]" in block.code
]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=_name)
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")


@pytest.mark.parametrize("block", _TESTS)
def test_block_runs(
    block: Block, pytester: pytest.Pytester, lean_pytest: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for need in block.notes.get("needs", "").split():
        module, _, version = need.partition(">=")
        pytest.importorskip(module, minversion=version or None)
    for key in _KEYS:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    for name, text in {**block.files, block.file or "test_block.py": block.code}.items():
        (pytester.path / name).write_text(text, encoding="utf-8")
    options = block.notes.get("options", "").split()

    # What a fresh project has: the plugin, and the one that it brings along.
    result = pytester.runpytest_subprocess("-W", "error", "-p", "asyncio", "-p", "mockstream", *options)

    outcome = block.notes.get("outcome") or f"passed={block.code.count('def test_')}"
    result.assert_outcomes(**{name: int(count) for name, count in (word.split("=") for word in outcome.split())})
    printed = _in_one_line(re.sub(r"^E   ", "", result.stdout.str(), flags=re.MULTILINE))
    for output in block.outputs:
        assert _in_one_line(output) in printed


def _in_one_line(text: str) -> str:
    """Return text with each run of white space as one space: a page may break lines where a terminal does not."""
    return " ".join(text.split())


@pytest.mark.parametrize("block", _SCRIPTS)
def test_script_file_has_no_mistakes(block: Block, tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text(block.code, encoding="utf-8")

    command = [sys.executable, "-m", "pytest_mockstream", "serve", str(script), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr


@each_page
def test_every_block_of_python_is_run_or_used(page: Path) -> None:
    run = {block.line for block in runnable(page)}
    used = {name for block in runnable(page) for name in block.files}
    found = [block for block in blocks(page) if block.language == "python"]

    assert [str(block) for block in found if block.line not in run and block.file not in used] == []
    assert len(found) == page.read_text(encoding="utf-8").count("```python\n")


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    for link in _LINK.finditer(text):
        target = page.parent / link["page"] if link["page"] else page
        assert target.exists(), link[0]
        if link["chapter"]:
            assert link["chapter"] in _anchors(target), link[0]
    for reference in _REFERENCE.finditer(text):
        assert (ROOT / reference["path"]).exists(), reference[0]
        assert text.count(f"[{reference['name']}]") > 1, reference[0]


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_and_example_is_in_the_index() -> None:
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    for path in sorted(EXAMPLES.iterdir()):
        if path.suffix in {".md", ".py", ".toml"} and path.name != "README.md":
            assert f"]({path.name})" in index, path.name


@each_page
def test_what_users_write_for_pytest_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    spelled = re.findall(r"--mockstream-[\w-]*\w|\bmockstream_\w+|\bmock_stream_\w+|\bpytest_mockstream_\w+", text)

    assert set(spelled) - names.words() == set()


def test_the_readme_is_short() -> None:
    assert README.read_text(encoding="utf-8").count("\n") <= 350


@pytest.mark.parametrize("path", to_make(), ids=_name)
def test_what_is_generated_is_current(path: Path) -> None:
    if path.suffix == ".svg" and pytest.version_tuple < (9,):
        pytest.skip("it is made with a pytest of today")
    assert path.read_text(encoding="utf-8") == made(path), "run `python tests/make_guide.py`"


def test_the_picture_is_well_formed() -> None:
    root = ElementTree.parse(EXAMPLES / "leak_report.svg").getroot()  # noqa: S314 - our own file

    assert "LeakError: test_first_number left 1 thing running" in "".join(root.itertext())
