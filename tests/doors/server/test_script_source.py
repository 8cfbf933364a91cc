"""A script file on disk: whatever stands at its path is read or refused at once, and each change is noticed."""

from __future__ import annotations

import os
import random
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from platforms import LINUX_ONLY, NEEDS_FIFOS, descriptors

from pytest_mockstream import Script, ScriptError
from pytest_mockstream.playbook.script_file import ScriptFileError
from pytest_mockstream.playbook.script_source import ScriptSource, UnreadableError

HELLO = '[[script]]\nsteps = ["Hello"]\n'
DEMO = Path(__file__).parents[3] / "examples" / "demo.toml"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "script.toml"


def texts(source: ScriptSource) -> list[str]:
    scripts = [script for script, _ in source.read().scripts if isinstance(script, Script)]
    return ["".join(getattr(step, "text", "") for step in script.steps) for script in scripts]


@pytest.mark.parametrize(
    "content",
    [
        HELLO.encode(),
        b"\xef\xbb\xbf" + HELLO.encode(),
        HELLO.replace("\n", "\r\n").encode(),
        HELLO.replace("\n", "\r").encode(),
    ],
    ids=["plain", "byte order mark", "Windows", "old Macs"],
)
def test_text_of_every_editor_is_read(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert texts(ScriptSource(path)) == ["Hello"]


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.fspath(path.relative_to(Path.cwd())))


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda path: None, ": cannot be read: .*No such file", id="nothing"),
        pytest.param(Path.mkdir, ": cannot be read: .*Is a directory", id="directory"),
        pytest.param(fifo, ": cannot be read: it is a FIFO, not a file", id="FIFO"),
        pytest.param(listening, ": cannot be read: .*No such device or address", id="socket"),
        pytest.param(link("/dev/zero"), ": cannot be read: it is a device, not a file", id="device"),
        pytest.param(link("script.toml"), ": cannot be read: .*symbolic links", id="links in a circle"),
        pytest.param(link("/proc/self/mem"), ": cannot be read: .*Input/output", id="bad disk"),
        pytest.param(sparse, ": cannot be read: it has 1099511627776 bytes; 1048576 are read at most", id="huge"),
        pytest.param(write(b"# a\n# \xfc\n"), ":2: this is not UTF-8: invalid start byte. Save it as", id="latin-1"),
        pytest.param(write("a = 1".encode("utf-16")), ":1: this is not UTF-8: .* Save it as UTF-8", id="UTF-16"),
    ],
)  # fmt: skip
@LINUX_ONLY
def test_what_is_no_script_is_refused_at_once(
    path: Path, make: Callable[[Path], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)  # names of sockets are short
    make(path)

    with pytest.raises(UnreadableError, match=said):
        ScriptSource(path).read()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x = " + b"[" * 20_000, ":1: x 1 1 1 1 1 1 1 1 1: nested more than 100 levels deep"),
        (b"[" + b"a." * 20_000 + b"a]", ":1: .*: nested more than 100 levels deep"),
        (HELLO.encode() + b"seed = " + b"9" * 5_000, ":3: script 1, seed: a number of 5000 digits: give at most 308"),
        (b"delay = 0x" + b"f" * 300, ":1: delay: delay=.* is not a duration"),
        (HELLO.encode() + b"when = { matches = 'a{99999999999}' }", ":3: script 1, when, matches: .*"),
        (HELLO.encode()[:-5], ": this is not TOML: "),
        (b"\0", ": this is not TOML: "),
        (b'"\\u001b[2J" = 1', r":1: '\\x1b\[2J': this key is not known"),
        (HELLO.encode() + b"steps = " + b"[[]," * 9 + b"]" * 9, "not TOML: "),
    ],
)
def test_what_a_file_says_wrong_is_told_with_line_and_key(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)

    with pytest.raises(ScriptFileError, match=said):
        ScriptSource(path).read()


def test_a_typo_at_the_end_of_a_long_file_is_told_by_reading_it_twice(path: Path) -> None:
    many = "".join(f'[[script]]\nwhen = {{ contains = "{i}" }}\nsteps = ["{i}"]\n' for i in range(1333))
    path.write_text(f'{many}[[script]]\nstep = ["typo"]\n')

    with pytest.raises(ScriptFileError) as caught:
        ScriptSource(path).read()

    assert len(caught.value.problems) == 1
    assert ":4001: script 1334, step: this key is not known" in str(caught.value)


def test_so_many_mistakes_are_told_as_can_be_read(path: Path) -> None:
    path.write_text("".join(f"[[script]]\nsteps = [{'9' * 300!r}, 0, {{ text = {i} }}]\n" for i in range(2_000)))

    with pytest.raises(ScriptFileError) as caught:
        ScriptSource(path).read()

    assert len(caught.value.problems) == 20
    assert all(len(problem) < 700 for problem in caught.value.problems)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("default_text = 'x'"),
        lambda path: path.write_text(HELLO.replace("H", "J")),  # of the same size, within a tick of the clock
        lambda path: os.utime(path, ns=(0, 0)),
        lambda path: path.chmod(0o600),
        lambda path: path.unlink(),
        lambda path: path.with_name("new").write_text(HELLO) and path.with_name("new").replace(path),
    ],
    ids=["content", "content of the same size", "time", "permissions", "gone", "replaced"],
)
def test_a_change_is_noticed(path: Path, change: Callable[[Path], object]) -> None:
    path.write_text(HELLO)
    path.chmod(0o644)
    source = ScriptSource(path)
    source.read()
    assert not source.has_changed()

    change(path)

    assert source.has_changed()


def test_a_change_within_one_tick_of_the_clock_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(HELLO)
    source = ScriptSource(path)
    source.read()
    path.write_text(HELLO.replace("H", "J"))
    monkeypatch.setattr(source, "_stamp", source._look())  # as if the clock had not ticked in between

    assert source.has_changed()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: None, id="nothing"),
        pytest.param(Path.mkdir, id="a folder"),
        pytest.param(fifo, id="a FIFO", marks=NEEDS_FIFOS),
        pytest.param(write(b"\xff"), id="not UTF-8"),
        pytest.param(write(b"a = 3"), id="no script"),
    ],
)
def test_what_was_refused_is_refused_once(path: Path, make: Callable[[Path], object]) -> None:
    make(path)
    source = ScriptSource(path)
    with pytest.raises(ScriptError):
        source.read()

    assert not source.has_changed()


@pytest.mark.slow
def test_500_random_changes_are_read_or_refused(path: Path) -> None:
    chance = random.Random(20_261_128)  # noqa: S311 - a seed, not cryptography
    source = ScriptSource(path)
    demo = DEMO.read_bytes()
    before = descriptors()
    told, outcomes = [], set()

    for _ in range(500):
        path.write_bytes(mutated(chance, demo))
        try:
            source.read()
            outcomes.add("read")
        except ScriptError as error:
            told.append(str(error))
            outcomes.add(type(error).__name__)

    assert [message for message in told if not message.startswith(f"{path}:")] == []
    assert [message for message in told if re.search(r"(?<!HTTP)Error\(", message)] == []  # each is one that we foresaw
    assert outcomes == {"read", "ScriptFileError", "UnreadableError"}
    assert descriptors() - before == set()


WORDS = (
    b"[", b"]", b"[[", b"{", b"}", b"=", b",", b".", b'"', b'"""', b"'", b"'''", b"#", b"\n", b"\\", b"\\u0000",
    b"nan", b"-inf", b"1e999", b"0x" + b"f" * 306, b"1979-05-27", b"true", b"\xff", b"\xed\xa0\x80", b"steps",
    b"when", b"usage", b"matches = '('", b"times = 0", b"chunking = -1", b"wait", b"http_error", b"tool_call", b"seed",
    b"\0", b"\r", b"\xe2\x80\xa8", b"a." * 200, b"[" * 200, b"finish_reason", b"script", b"default_text", b"turn",
)  # fmt: skip


def mutated(chance: random.Random, content: bytes) -> bytes:
    """Return a file of which parts are changed, doubled, left out or replaced by words that mean something."""
    made = bytearray(content)
    for _ in range(chance.randint(0, 5)):
        start, end = sorted(chance.sample(range(len(made) + 1), 2)) if made else (0, 0)
        match chance.randrange(5):
            case 0:
                made[start : start + chance.randint(0, 3)] = chance.choice(WORDS)
            case 1:
                made[start:start] = made[start:end][:200]
            case 2:
                del made[start : min(end, start + 50)]
            case 3:
                del made[end:]
            case 4:
                made[start:start] = chance.choice(WORDS)
    return bytes(made)
