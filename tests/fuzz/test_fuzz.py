"""A short run of what ``python -m tests.fuzz`` does for as long as one likes."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from soak.hostile import REQUESTS, body_of

from .targets import TARGETS, http, request, script_file, seeds

HELLO = [{"role": "user", "content": "hi"}]


def changed(name: str) -> st.SearchStrategy[bytes]:
    """Make legal inputs of a target with a part cut out, doubled or replaced by noise."""

    def change(legal: bytes, first: int, second: int, noise: bytes) -> bytes:
        start, end = sorted((first % (len(legal) + 1), second % (len(legal) + 1)))
        return legal[:start] + noise + legal[end:]

    places = st.integers(0, 2**12)
    return st.builds(change, st.sampled_from(seeds(name)), places, places, st.binary(max_size=20) | st.just(b""))


@pytest.mark.parametrize("name", TARGETS)
def test_legal_input_is_read(name: str) -> None:
    for data in seeds(name):
        TARGETS[name](data)


@settings(max_examples=100)
@given(st.binary(max_size=100) | changed("request"))
@example(b"")
def test_any_body_is_answered(data: bytes) -> None:
    request(data)


@settings(max_examples=100)
@given(st.integers(0, len(REQUESTS) - 1), st.integers(0, 2**64))
def test_any_type_in_any_field_is_answered(choice: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, not cryptography

    request(bytes([choice]) + body_of(chance, REQUESTS[choice][3]))


@settings(max_examples=100)
@given(st.binary(max_size=100) | changed("script-file"))
def test_any_script_file_is_read_or_refused_with_its_line(data: bytes) -> None:
    script_file(data)


@settings(max_examples=100)
@given(st.binary(max_size=100) | changed("http"))
def test_any_bytes_are_answered_or_refused(data: bytes) -> None:
    http(data)


def calls_made_by(run: Callable[[], object]) -> int:
    """Count the calls of Python functions that a run makes: a measure of its cost that no other process disturbs."""
    count = 0

    def note(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


GROWING: dict[str, Callable[[int], Any]] = {
    "messages": lambda n: {"model": "m", "messages": HELLO * n},
    "parts": lambda n: {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * n}]},
    "tools": lambda n: {"model": "m", "messages": HELLO, "tools": [{"function": {"name": "f"}}] * n},
    "fields": lambda n: {"model": "m", "messages": HELLO, **{f"x{k}": {"y": [k]} for k in range(n)}},
    "words": lambda n: {"model": "m", "messages": [{"role": "user", "content": "x " * n}]},
}


@pytest.mark.parametrize("what", GROWING)
def test_answering_costs_no_more_than_in_proportion_to_the_body(what: str) -> None:
    def cost(count: int) -> int:
        data = b"\0" + json.dumps(GROWING[what](count)).encode()
        return calls_made_by(lambda: request(data))

    cost(1)  # what is made at the first use

    assert cost(4000) < 5 * cost(1000)  # four times, and what no longer fits into a cache of names


@pytest.mark.parametrize("step", ['"one", ', '{ text = "one" }, ', "{ wait = 1 }, "])
def test_reading_a_script_file_costs_no_more_than_in_proportion_to_it(step: str) -> None:
    def cost(count: int) -> int:
        data = f"[[script]]\nsteps = [{step * count}]\n".encode()
        return calls_made_by(lambda: script_file(data))

    cost(1)

    assert cost(400) < 4.2 * cost(100)
