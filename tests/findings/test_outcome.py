"""What came out of the code under test, whatever shape it has, shows whether a text is in it, once or twice."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_mockstream.playbook.outcome import Outcome

FIRST = ["Paris ", "is "]
AGAIN = ["Paris ", "is ", "lovely."]


@dataclass
class Answer:
    text: str
    model: str = "m"


REPEATED: dict[str, Any] = {
    "text": "Paris is Paris is lovely.",
    "lines": "Paris\nis\nParis\nis\nlovely.\n",
    "object": Answer("Paris is Paris is lovely."),
    "namespace": SimpleNamespace(choices=[SimpleNamespace(text="Paris is Paris is lovely.")]),
    "mapping": {"answer": "Paris is Paris is lovely.", "ok": True},
    "bytes": b"Paris is Paris is lovely.",
    "deltas": [*FIRST, *AGAIN],
    "deltas with empty ones": ["", *FIRST, "", *AGAIN, ""],
    "cut in another way": ["Paris is Pa", "ris is lovely."],
    "states of one text": ["Paris ", "Paris is ", "Paris is Paris ", "Paris is Paris is ", "Paris is Paris is lovely."],
    "events": [("delta", part) for part in (*FIRST, *AGAIN)],
    "mappings": [{"type": "delta", "text": part} for part in (*FIRST, *AGAIN)],
    "server-sent events": [f'data: {{"delta": "{part}"}}\n\n' for part in (*FIRST, *AGAIN)],
    "lines of JSON": [f'{{"delta": "{part}"}}\n'.encode() for part in (*FIRST, *AGAIN)],
}
ONCE: dict[str, Any] = {
    "nothing": None,
    "text": "Paris is lovely.",
    "question in the answer": {"question": "Paris is?", "answer": "Paris is lovely."},
    "deltas": AGAIN,
    "states": ["Paris ", "Paris is ", "Paris is lovely."],
    "states that begin anew": ["Paris ", "Paris is ", "Paris ", "Paris is ", "Paris is lovely."],
    "new message": [*FIRST, {"type": "restart"}, *AGAIN],
    "new message as text": "Paris is \n[connection lost]\nParis is lovely.",
    "messages": ["Paris is ", "Paris is lovely."],
    "messages of a conversation": ["Where?", "Paris is ", "Paris is lovely."],
    "events of a new message": [
        *({"type": "delta", "text": part} for part in FIRST),
        {"type": "reset"},
        *({"type": "delta", "text": part} for part in AGAIN),
    ],
    "only the first": FIRST,
}


@pytest.mark.parametrize("value", REPEATED.values(), ids=REPEATED)
def test_part_that_is_there_twice_is_seen(value: Any) -> None:
    assert Outcome(value).repeats(FIRST, AGAIN)


@pytest.mark.parametrize("value", ONCE.values(), ids=ONCE)
def test_part_that_is_there_once_is_not_taken_for_two(value: Any) -> None:
    assert not Outcome(value).repeats(FIRST, AGAIN)


def test_text_that_repeats_itself_is_not_taken_for_two() -> None:
    assert not Outcome("la la la la").repeats(["la ", "la "], ["la ", "la ", "la ", "la"])


def test_what_was_printed_counts() -> None:
    assert Outcome(None, "Paris is Paris is lovely.").repeats(FIRST, AGAIN)


@pytest.mark.parametrize("value", REPEATED.values(), ids=REPEATED)
def test_text_is_found_in_every_shape(value: Any) -> None:
    assert Outcome(value).shows("lovely")
    assert not Outcome(value).shows("London")


def test_value_that_contains_itself_ends() -> None:
    value: list[Any] = ["a"]
    value.append(value)

    assert set(Outcome(value).leaves()) == {"a"}


def test_large_value_is_looked_at_up_to_a_limit() -> None:
    deep: Any = "lost"
    for _ in range(50):
        deep = [deep] * 3

    assert len(Outcome(deep).leaves()) < 100_000
