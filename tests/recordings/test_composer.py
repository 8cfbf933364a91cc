"""What is heard of a reply becomes steps in the order in which it came."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Interleave,
    KeepAlive,
    Malformed,
    Reasoning,
    Script,
    Text,
    Together,
    ToolCall,
)
from pytest_mockstream.recordings.composer import Composed, Composer
from pytest_mockstream.script.steps import End, Step
from pytest_mockstream.wire import Finish, Heard, Piece


def composed(*heard: list[Heard] | Step) -> Composed:
    """Return what is composed of events, and of steps between them; each takes a second."""
    composer = Composer()
    for second, one in enumerate(heard, 1):
        if isinstance(one, list):
            composer.hear(one, float(second))
        else:
            composer.add(one)
    return composer.composed()


A, B, DONE = Piece("text", "a"), Piece("text", "b"), Finish("stop")


@pytest.mark.parametrize("after", [KeepAlive(), Malformed("{"), Disconnect()])
def test_what_comes_after_the_last_chunk_comes_after_end(after: Any) -> None:
    assert composed([A], KeepAlive(), [DONE], after).steps == (Text(["a"]), KeepAlive(), End(), after)


def test_nothing_after_the_last_chunk_needs_no_end() -> None:
    assert composed([A], [DONE], []).steps == (Text(["a"]),)


def test_error_after_the_last_chunk_makes_a_legal_script() -> None:
    found = composed([A], [DONE], [ErrorEvent("no")])

    assert Script(*found.steps).steps == (Text(["a"]), ErrorEvent("no"))


def test_text_after_the_last_chunk_makes_a_legal_script() -> None:
    found = composed([A], [DONE], KeepAlive(), [B], KeepAlive())

    assert Script(*found.steps).steps == (Text(["a"]), KeepAlive(), Text(["b"]), End(), KeepAlive())


def test_text_that_comes_with_the_finish_reason_comes_before_it() -> None:
    found = composed([A], [DONE, B])

    assert (found.steps, found.gaps) == ((Text(["a", "b"]),), (1.0, 1.0, 0.0))


def test_fragment_of_a_call_that_has_not_begun_changes_nothing() -> None:
    composer = Composer()

    with pytest.raises(ValueError, match="tool call 1, which has not begun"):
        composer.hear([A, Piece("tool_call", "{", call=0, name="f"), Piece("tool_call", "}", call=1), DONE])

    assert composer.composed() == Composer().composed()


def test_more_of_a_call_that_came_with_text_parts_them() -> None:
    called = Piece("tool_call", call=0, name="f")

    found = composed([A, called], [Piece("tool_call", "{", call=0)], [Piece("tool_call", "}", call=0)], [DONE])

    assert found.steps == (Text(["a"]), ToolCall("f", "{}", "", fragments=["", "{", "}"]))
    assert found.gaps == (1.0, 0.0, 1.0, 1.0, 1.0)
    assert found.lost == ("that several parts came in one chunk",)


def test_text_among_the_fragments_of_a_call_that_came_with_text_is_interleaved() -> None:
    called = Piece("tool_call", call=0, name="f")

    found = composed([A, called], [B], [Piece("tool_call", "{}", call=0)], KeepAlive(), [A, called], [DONE])

    together = Together(Text(["a"]), ToolCall("f", "", "", fragments="whole"))
    mixed = Interleave(ToolCall("f", "{}", "", fragments=["", "{}"]), Text(["b"]))
    assert found.steps == (Text(["a"]), mixed, KeepAlive(), together)


@pytest.mark.parametrize(
    ("texts", "own"),
    [
        (["Say: ", "a"], ["a"]),
        (["Say: a"], ["a"]),
        (["Sa", "y:", " a"], ["a"]),
        (["a", "Say: "], ["a", "Say: "]),
    ],
    ids=repr,
)
def test_what_is_repeated_of_the_request_is_not_said(texts: list[str], own: list[str]) -> None:
    composer = Composer(repeated="Say: ")
    for text in texts:
        composer.hear([Piece("text", text)])

    assert composer.composed().steps == (Text(own),)


def test_request_that_is_all_of_the_reply() -> None:
    composer = Composer(repeated="Say: ")
    composer.hear([Piece("text", "Say: "), DONE])

    assert (composer.composed().steps, composer.composed().gaps) == ((), (0.0,))


def _calls(work: Callable[[], Any]) -> int:
    """Count the calls that some work makes, those of built-in functions included."""
    count = 0

    def counted(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def _keep_alives(length: int) -> list[list[Heard] | Step]:
    return [[A], KeepAlive()] * length


def _many_calls(length: int) -> list[list[Heard] | Step]:
    return [
        [Piece("tool_call", text, call=number, name=name)]
        for number in range(length)
        for name, text in (("f", "{"), ("", "}"))
    ]


def _by_turns(length: int) -> list[list[Heard] | Step]:
    made: list[list[Heard] | Step] = [[Piece("tool_call", "", call=0, name="f")]]
    for _ in range(length):
        made += [[Piece("tool_call", "1", call=0)], [A], [Piece("reasoning", "r")]]
    return made


@pytest.mark.parametrize("made", [_keep_alives, _many_calls, _by_turns])
def test_composing_is_linear_in_the_length_of_the_reply(made: Callable[[int], list[list[Heard] | Step]]) -> None:
    small, large = made(100), made(400)

    assert _calls(lambda: composed(*large)) < 5 * _calls(lambda: composed(*small))


def test_call_and_text_by_turns_are_interleaved() -> None:
    step, *after = composed(*_by_turns(2)).steps

    assert after == [Text(["a"]), Reasoning(["r"])]
    assert [type(part) for part in step.parts] == [ToolCall, Text, Reasoning]  # type: ignore[union-attr]


def test_format_that_says_one_thing_at_a_time_gets_one_part_behind_the_other() -> None:
    composer = Composer(extras=())
    call = Piece("tool_call", "{}", id="1", name="f")
    composer.hear([A, call], 1.0)
    for more in (B, call._replace(name="", text=" ")):
        composer.hear([more], 2.0)

    found = composer.composed()

    assert found.steps == (Text(["a"]), ToolCall("f", id="1", fragments=["{}", " "]), Text(["b"]))
    assert found.lost == ("that several parts came in one chunk", "in which order parts came by turns")


def test_signature_of_what_is_not_shown_is_part_of_its_chunk() -> None:
    signed = Piece("reasoning", step=Reasoning("", signature="s"))

    assert composed([signed, A]).steps == (Together(Reasoning([""], signature="s"), Text(["a"])),)
    assert composed([Piece("reasoning", "x"), signed, A]).steps == (
        Together(Reasoning(["x"], signature="s"), Text(["a"])),
    )
    assert composed([Piece("reasoning", "x")], [signed, A]).steps == (Reasoning(["x"], signature="s"), Text(["a"]))


def test_prose_of_a_block_goes_on_behind_other_blocks() -> None:
    first, second = Piece("text", "a", block=0), Piece("reasoning", "x", block=1)

    assert composed([first], [second], [first], [second]).steps == (
        Interleave(Text(["a", "a"]), Reasoning(["x", "x"])),
    )
    assert composed([first], [second], [first._replace(block=2)]).steps == (
        Text(["a"]),
        Reasoning(["x"]),
        Text(["a"]),
    )


def test_signature_stays_where_more_of_its_chunk_came_later() -> None:
    signed = Piece("reasoning", "x", step=Reasoning("", signature="s"))
    call = Piece("tool_call", "", id="1", name="f")

    found = composed([signed, call], [call._replace(name="", text="{}")])

    assert found.steps == (Reasoning(["x"], signature="s"), ToolCall("f", id="1", fragments=["", "{}"]))
