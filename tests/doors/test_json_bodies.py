"""What a request's JSON may not say: each door answers with a 400 that names it, and the test fails for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream import MockStreamSDK, MockStreamServer, UnexpectedRequestError
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream.doors.answer import answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.script.script import Script
from pytest_mockstream.wire import ENDPOINTS

Door: TypeAlias = "MockStreamSDK | MockStreamServer"
Post: TypeAlias = "Callable[[bytes], httpx.Response]"

CHAT = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "x": %s}'
DEEP = 100_000
DIGITS = 5_000


@pytest.fixture(params=[MockStreamSDK, MockStreamServer])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with request.param() as opened:
        yield opened


@pytest.fixture
def post(door: Door) -> Iterator[Post]:
    """Posts a body to a door."""
    base = door.url if isinstance(door, MockStreamServer) else "https://api.openai.com"
    with httpx.Client(base_url=base) as client:
        yield lambda body: client.post("/v1/chat/completions", content=body)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(b"[" * DEEP + b"]" * DEEP, "nested more than 100 levels deep", id="deep lists"),
        pytest.param(b'{"a":' * DEEP + b"1" + b"}" * DEEP, "nested more than 100 levels deep", id="deep objects"),
        pytest.param(b"[" * 100 + b"]" * 100, "nested more than 100 levels deep", id="a level too deep"),
        pytest.param(b"NaN", "has NaN, which is not JSON", id="NaN"),
        pytest.param(b"-Infinity", "has -Infinity, which is not JSON", id="infinity"),
        pytest.param(b"1e400", "a number that is too large", id="too large"),
        pytest.param(b"9" * DIGITS, "a number of 5000 digits: at most 308 are read", id="digits"),
        pytest.param(b'{"a": 1, "b": 2, "a": 3}', "has the key 'a' twice in one object", id="twice"),
        pytest.param(rb'"\uD83D hm"', "one half of a surrogate pair", id="surrogate"),
        pytest.param(rb'{"\udead": 1}', "one half of a surrogate pair", id="surrogate in a key"),
        pytest.param(b'"\xed\xa0\xbd"', "is not UTF-8", id="surrogate in UTF-8"),
        pytest.param(b'"\xff"', "is not UTF-8", id="not UTF-8"),
        pytest.param(b'"\n"', "is not JSON (Invalid control character", id="control character"),
    ],
)
def test_json_that_is_out_of_bounds_is_refused(door: Door, post: Post, value: bytes, said: str) -> None:
    response = post(CHAT % value)

    assert (response.status_code, said in response.json()["error"]["message"]) == (400, True)
    with pytest.raises(UnexpectedRequestError) as caught:
        door.verify()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"[" * 99 + b"]" * 99, id="as deep as allowed"),
        pytest.param(b"9" * 308, id="as long as allowed"),
        pytest.param(rb'"\ud83d\ude00 \\ud83d"', id="a whole pair"),
        pytest.param(b'[{"a": 1}, {"a": 1}]', id="the same key in two objects"),
    ],
)
def test_json_within_bounds_is_answered(post: Post, value: bytes) -> None:
    assert post(CHAT % value).status_code == 200


def test_a_byte_order_mark_is_skipped(post: Post) -> None:
    assert post(b"\xef\xbb\xbf" + CHAT % b"1").status_code == 200


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from(["m", "hi"]),
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.dictionaries(
            st.text(max_size=3)
            | st.sampled_from(
                ["role", "content", "text", "type", "parts", "input", "name", "arguments", "function", "id"]
            ),
            inside,
            max_size=5,
        )
    ),
    max_leaves=20,
)
FIELDS = ("model", "messages", "input", "contents", "prompt", "stream", "tools", "system", "max_tokens", "options")


@given(st.sampled_from(ENDPOINTS), st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), ANY_JSON))
def test_whatever_a_body_says_is_answered(endpoint: Any, body: dict[str, Any]) -> None:
    playbook = Playbook(Script("hi", times=None), name="door")
    path = endpoint.shown.split()[1].removeprefix("…")
    url = f"https://localhost{path}"
    name, _, value = (getattr(endpoint, "header", None) or "x-any").partition(": ")
    content = json.dumps(body).encode()
    incoming = HTTPRequest(method=endpoint.method, url=url, headers={name: value or "x"}, body=content)

    answered = answer(playbook, incoming, opened_at=calling_site())

    while isinstance(got := answered.playback.receive(None), tuple):
        answered.delivered(*got)
    assert answered.status in {200, 400, 404}
    answered.leave()
