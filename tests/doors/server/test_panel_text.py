"""The script is looked at, checked, played and saved on the page."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from platforms import NEEDS_SIGNALS

from pytest_mockstream import MockStreamServer
from pytest_mockstream.doors.answer import WIRE_PROVIDERS
from pytest_mockstream.doors.server.panel import Panel, ScriptText
from pytest_mockstream.doors.unknown import wrong_path
from pytest_mockstream.playbook.script_source import ScriptSource

from .conftest import MESSAGES
from .paneled import Page, page_of

Say: TypeAlias = Callable[[], str]
HELLO = '[[script]]\nsteps = ["Hello"]\n'
BYE = HELLO.replace("Hello", "Bye")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "script.toml"
    path.write_text(HELLO)
    return path


@pytest.fixture
def script(file: Path) -> ScriptText:
    return ScriptText(ScriptSource(file, providers=WIRE_PROVIDERS, wrong_path=wrong_path))


@pytest.fixture
def server(script: ScriptText) -> Iterator[MockStreamServer]:
    server = MockStreamServer(panel=Panel(script=script))
    script.play_with(server.replace, script.source.read())
    with server:
        yield server


@pytest.fixture
def page(server: MockStreamServer) -> Iterator[Page]:
    with page_of(server.url) as page:
        yield page


@pytest.fixture
def say(server: MockStreamServer) -> Say:
    """Returns what the server answers."""

    def say() -> str:
        asked = {"model": "m", "messages": MESSAGES}
        answered = httpx.post(f"{server.url}/v1/chat/completions", json=asked, timeout=30)
        text: str = answered.json()["choices"][0]["message"]["content"]
        return text

    return say


def test_the_page_has_the_text_of_the_file(page: Page, file: Path) -> None:
    assert page.state["file"]["text"] == page.state["file"]["played"] == HELLO
    assert page.state["file"]["path"] == str(file)
    assert page.state["scripts"]["listed"][0]["line"] == 1


@pytest.mark.parametrize(
    ("text", "line", "column", "told"),
    [
        (HELLO + "times = 0", 3, None, "script 1, times: times=0: give an int > 0"),
        ("a = 1\nb = = 2", 2, 5, "this is not TOML: Invalid value (at line 2, column 5)"),
        ('[[script]]\nsteps = ["\ud800"]', 2, None, "half of a character"),
        ("#" * 2**20 + "#", None, None, "1048576 are read at most"),
    ],
)
def test_mistakes_are_told_with_their_places(page: Page, text: str, line: int, column: int, told: str) -> None:
    problem = page.command("check", text=text)["problems"][0]

    assert (problem["line"], problem["column"], told in problem["text"]) == (line, column, True)


def test_a_text_without_mistakes_has_none(page: Page) -> None:
    assert page.command("check", text=HELLO * 2) == {"problems": [], "scripts": "2 scripts"}


def test_a_text_is_played_and_the_file_left_alone(page: Page, file: Path, say: Say) -> None:
    page.command("play", text=BYE)

    page.wait_for(lambda page: page.state["file"]["edited"])
    assert page.state["file"]["played"] == BYE
    assert (say(), file.read_text()) == ("Bye", HELLO)


def test_a_change_of_the_file_is_played_instead(page: Page, file: Path, script: ScriptText, say: Say) -> None:
    page.command("play", text=BYE)
    file.write_text(HELLO.replace("Hello", "Hello again"))

    script.look()

    page.wait_for(lambda page: "again" in page.state["file"]["played"])
    assert not page.state["file"]["edited"]
    assert say() == "Hello again"


def test_a_text_is_saved_and_played(page: Page, file: Path, say: Say, script: ScriptText) -> None:
    page.command("save", text=BYE, base=page.state["file"]["base"])

    page.wait_for(lambda page: page.state["file"]["text"] == BYE)
    assert (say(), file.read_text()) == ("Bye", BYE)
    assert script.look() is None


def test_a_change_that_the_page_has_not_seen_is_not_overwritten(page: Page, file: Path) -> None:
    file.write_text(HELLO + "# of somebody else\n")

    why = page.refused("save", text=BYE, base=page.state["file"]["base"])
    assert ("is not what it was" in why, "somebody else" in file.read_text()) == (True, True)

    page.command("save", text=BYE, base=None, overwrite=True)
    assert file.read_text() == BYE


@pytest.mark.parametrize("command", ["play", "save"])
def test_a_text_with_mistakes_is_neither_played_nor_saved(page: Page, file: Path, say: Say, command: str) -> None:
    why = page.refused(command, text=HELLO + "times = 0\ndelai = 3", base=page.state["file"]["base"])

    assert why.startswith("2 mistakes:\nscript 1")
    assert (say(), file.read_text()) == ("Hello", HELLO)


@pytest.mark.parametrize("said", [{}, {"text": 3}, {"text": None}])
@pytest.mark.parametrize("command", ["check", "play", "save"])
def test_what_is_no_text_is_told(page: Page, command: str, said: dict[str, Any]) -> None:
    assert "give the text of a script file" in page.refused(command, **said)


def test_only_the_file_that_was_given_is_written(page: Page, file: Path, tmp_path: Path) -> None:
    page.command("save", text=BYE, base=page.state["file"]["base"], path=str(tmp_path / "other.toml"))

    assert os.listdir(tmp_path) == [file.name]


@NEEDS_SIGNALS  # which are where links and permissions are, too
def test_a_link_stays_one_and_so_do_permissions_and_line_ends(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_bytes(HELLO.replace("\n", "\r\n").encode())
    real.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(real)
    source = ScriptSource(link)
    source.read()

    source.write(BYE)

    assert link.is_symlink()
    assert real.read_bytes() == BYE.replace("\n", "\r\n").encode()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_file_that_cannot_be_written_is_told(page: Page, file: Path) -> None:
    file.unlink()
    file.parent.rmdir()

    why = page.refused("save", text=BYE, base="", overwrite=True)

    assert "cannot be written" in why


def test_a_text_that_takes_long_to_check_holds_no_stream_up(
    page: Page, script: ScriptText, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, check = threading.Event(), threading.Event(), script.check

    def slow_check(text: object) -> Any:
        begun.set()
        assert go_on.wait(30)
        return check(text)

    monkeypatch.setattr(script, "check", slow_check)
    with ThreadPoolExecutor(1) as other:
        checked = other.submit(page.command, "check", text=HELLO)
        assert begun.wait(30)

        said = say()

        go_on.set()
        assert (said, checked.result(30)["problems"]) == ("Hello", [])


def test_who_may_only_look_on_sees_no_secret_in_the_file(script: ScriptText, file: Path) -> None:
    file.write_text('[[script]]\nwhen = { header = "authorization: Bearer sk-0123456789abcdef" }\nsteps = ["Hello"]\n')
    everywhere = "0.0.0.0"  # noqa: S104 - that is what it is about
    server = MockStreamServer(host=everywhere, panel=Panel(script=script))
    script.play_with(server.replace, script.source.read())

    with server, page_of(server.start().url.replace(everywhere, "127.0.0.1")) as page:
        assert "authorization: [redacted]" in page.state["file"]["text"]
        file.write_text('[[script]]\n"api_key=sk-0123456789abcdef" = 1\nsteps = ["Hello"]\n')
        with pytest.raises(ValueError, match="not known"):
            script.look()
        page.wait_for(lambda page: page.state["file"]["problems"])
        assert "sk-" not in "".join(page.heard)


def test_mistakes_in_the_file_are_shown_while_the_last_text_is_played(
    page: Page, file: Path, script: ScriptText, say: Say
) -> None:
    file.write_text(HELLO + "times = 0")

    with pytest.raises(ValueError, match="times=0"):
        script.look()

    page.wait_for(lambda page: page.state["file"]["problems"])
    assert page.state["file"]["problems"][0]["line"] == 3
    assert say() == "Hello"
