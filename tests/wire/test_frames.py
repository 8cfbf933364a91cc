"""The laws of framing: what is written is read back, however it is shaped and cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoders import decode_ndjson, decode_sse
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream import Disconnect, Script, ScriptError, Truncate, Wait
from pytest_mockstream.script.shape import Shape
from pytest_mockstream.wire.frames import WireFrame, fragments, shaped, torn
from pytest_mockstream.wire.sse import Event, Framing, Writer, json_bytes, json_text

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
LINE_ENDINGS = st.sampled_from(["\n", "\r\n"])
NAMES = st.none() | st.from_regex(r"[a-z_.]{1,12}", fullmatch=True)
STEPS = st.lists(
    st.builds(WireFrame, st.binary(min_size=1, max_size=40), st.integers(0, 3)) | st.builds(Wait, st.floats(0, 9)),
    max_size=8,
)


@given(st.lists(st.tuples(NAMES, JSON), max_size=5), LINE_ENDINGS)
def test_event_stream_is_read_back(events: list[tuple[str | None, Any]], line_ending: Any) -> None:
    writer = Writer("sse", line_ending)

    body = b"".join(writer.frame(Event(json_text(value), name)) for name, value in events)

    decoded = [(event.name, json.loads(event.data)) for event in decode_sse(body)]
    assert decoded == [(name or "message", value) for name, value in events]


@given(st.text(), LINE_ENDINGS)
def test_event_stream_carries_any_text_with_its_line_ends_as_lf(text: str, line_ending: Any) -> None:
    body = Writer("sse", line_ending).frame(Event(text))

    decoded = [event.data for event in decode_sse(body)]

    said = text.replace("\r\n", "\n").replace("\r", "\n")
    assert decoded == ([said] if said else [""])


@given(st.text(), LINE_ENDINGS)
def test_comment_is_no_event(text: str, line_ending: Any) -> None:
    assert decode_sse(Writer("sse", line_ending).comment(text)) == []


@given(st.lists(JSON, max_size=5), LINE_ENDINGS)
def test_json_lines_are_read_back(values: list[Any], line_ending: Any) -> None:
    writer = Writer("ndjson", line_ending)

    body = b"".join(writer.frame(Event(json_text(value))) for value in values)

    assert decode_ndjson(body) == values


@given(st.lists(JSON, min_size=1, max_size=5), LINE_ENDINGS)
def test_array_is_read_back(values: list[Any], line_ending: Any) -> None:
    writer = Writer("array", line_ending)

    frames = [writer.frame(Event(json_text(value)), last=n == len(values)) for n, value in enumerate(values, 1)]

    assert json.loads(writer.comment().join(frames)) == values


@given(st.text(st.characters(categories=None)))  # halves of surrogate pairs too
def test_json_of_any_text_is_one_line_of_utf8(text: str) -> None:
    written = json_text([text])

    assert written.encode().decode().splitlines() == [written]
    assert json.loads(written) == [text]
    assert f"[{json_bytes(text).decode()}]" == written


@given(STEPS, st.integers(1, 50) | st.none())
def test_any_cut_keeps_bytes_chunks_and_the_place_of_what_is_no_bytes(steps: list[Any], size: int | None) -> None:
    lengths = iter([3, 1, 7, 2] * 1000) if size is None else iter([size] * 1000)

    cut = list(fragments(steps, lengths))

    assert _runs(cut) == _runs(steps)
    assert size is None or all(len(step.data) <= size for step in cut if isinstance(step, WireFrame))


def _runs(steps: list[Any]) -> list[Any]:
    """Return what lies between steps that are no bytes: bytes, chunks."""
    runs: list[Any] = [[b"", 0]]
    for step in steps:
        if isinstance(step, WireFrame):
            runs[-1][0] += step.data
            runs[-1][1] += step.chunks
        else:
            runs += [step, [b"", 0]]
    return runs


def test_cut_falls_across_frames() -> None:
    assert [frame.data for frame in _fragments([WireFrame(b"abc"), WireFrame(b"def")], 2)] == [b"ab", b"cd", b"ef"]


def test_chunk_is_complete_with_its_last_byte() -> None:
    frames = _fragments([WireFrame(b"abc", 1), WireFrame(b"def", 1, last=True)], 2)

    assert [(frame.chunks, frame.last) for frame in frames] == [(0, False), (1, False), (1, True)]


def test_chunk_is_complete_before_the_lf_of_its_crlf() -> None:
    frames = _fragments([WireFrame(b"a\r\n\r\n", 1, last=True)], 1)

    assert [(frame.chunks, frame.last) for frame in frames] == [(0, False)] * 3 + [(1, True), (0, False)]


def _fragments(frames: list[WireFrame], size: int) -> list[WireFrame]:
    cut = list(fragments(frames, iter([size] * 100)))
    assert all(isinstance(frame, WireFrame) for frame in cut)
    return [frame for frame in cut if isinstance(frame, WireFrame)]


def test_random_cuts_follow_the_seed() -> None:
    shape, frames = Shape(fragment="random"), [WireFrame(b"x" * 500)]

    first, again, other = (list(shaped(frames, shape, between=b"", seed=seed)) for seed in ("1", "1", "2"))

    assert first == again
    assert first != other


def test_every_second_frame_comes_twice_and_counts_once() -> None:
    frames = [WireFrame(b"a", 1), WireFrame(b"b", 1), WireFrame(b"c", 1, last=True)]

    doubled = list(shaped(frames, Shape(duplicate=2), between=b"", seed=""))

    assert doubled == [WireFrame(b"a", 1), WireFrame(b"b"), WireFrame(b"b", 1), WireFrame(b"c", 1, last=True)]


def test_comment_stands_between_frames_and_not_around_them() -> None:
    frames: list[WireFrame | Wait] = [WireFrame(b"a"), Wait(1), WireFrame(b"b")]

    between = list(shaped(frames, Shape(between="comment"), between=b":", seed=""))

    assert between == [WireFrame(b"a"), Wait(1), WireFrame(b":"), WireFrame(b"b")]


@pytest.mark.parametrize("fault", [Truncate(inside_frame=True), Disconnect(inside_frame=True)])
def test_fault_inside_a_frame_sends_half_of_one_more(fault: Any) -> None:
    assert list(torn([WireFrame(b"abcd", 1), fault])) == [WireFrame(b"abcd", 1), WireFrame(b"ab"), fault]


def test_fault_between_frames_sends_no_half() -> None:
    assert list(torn([WireFrame(b"abcd"), Truncate()])) == [WireFrame(b"abcd"), Truncate()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fragment": 0}, "fragment=0 is not known: give 'byte' or 'random' or a number of bytes > 0"),
        ({"fragment": "bite"}, "fragment='bite' is not known: give 'byte' or 'random' or a number of bytes > 0"),
        ({"fragment": True}, "fragment=True is not known: give 'byte' or 'random' or a number of bytes > 0"),
        ({"line_ending": "\r"}, r"line_ending='\r' is not known: give '\n' or '\r\n'"),
        ({"between": "pong"}, "between='pong' is not known: give 'comment' or 'ping'"),
        ({"duplicate": -1}, "duplicate=-1 is not known: give an int n > 0, to have each n-th frame twice"),
    ],
)
def test_shape_that_means_nothing_is_refused_with_what_is_legal(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        Script("x", **options)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Disconnect(how="polite"), "Disconnect(how='polite') is not known: give 'reset' or 'cut'"),  # type: ignore[arg-type] # on purpose
        (lambda: Truncate(inside_frame=1), "Truncate(inside_frame=1): give True or False"),  # type: ignore[arg-type] # on purpose
    ],
)
def test_break_that_means_nothing_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        make()

    assert str(caught.value) == message


@pytest.mark.parametrize("framing", ["sse", "ndjson", "array"])
def test_garbage_with_half_a_surrogate_pair_is_still_bytes(framing: Framing) -> None:
    assert b"?" in Writer(framing).frame(Event("\ud800"))
