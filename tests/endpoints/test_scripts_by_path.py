"""``when(path=...)``: scripts for endpoints that need none, in each door."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import httpx2
import openai
import pytest

from pytest_mockstream import (
    Disconnect,
    Frame,
    Gate,
    HTTPError,
    Malformed,
    MockStreamSDK,
    MockStreamServer,
    ScriptError,
    Stall,
    Text,
    Truncate,
    UnusedScriptError,
    Wait,
)

from .conftest import Door

Post: TypeAlias = "Callable[[str, Any], httpx2.Response]"
EMBED: Any = {"model": "m", "input": "hi"}
ANSWER = {"object": "list", "data": [], "model": "mine"}


@pytest.fixture
def base(door: Door) -> str:
    return door.base_url("openai") if isinstance(door, MockStreamServer) else "https://api.openai.com/v1"


@pytest.fixture
def post(base: str) -> Iterator[Post]:
    with httpx2.Client(base_url=base, timeout=5) as client:
        yield lambda path, body: client.post(path, json=body)


def test_what_the_script_says_is_the_body_once(door: Door, post: Post) -> None:
    door.when(path="/embeddings").respond(json.dumps(ANSWER))

    assert post("/embeddings", EMBED).json() == ANSWER
    assert post("/embeddings", EMBED).json()["model"] == "m"


def test_script_without_a_path_is_not_used_up(door: Door, gpt: openai.OpenAI, post: Post) -> None:
    door.respond("for the chat")

    post("/embeddings", EMBED)

    reply = gpt.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert reply.choices[0].message.content == "for the chat"


def test_other_conditions_hold_as_well(door: Door, post: Post) -> None:
    door.when(path="/embeddings", model="other").respond("{}")

    assert post("/embeddings", EMBED).json()["model"] == "m"
    assert post("/embeddings", EMBED | {"model": "other"}).json() == {}


def test_chat_can_be_chosen_by_its_path(door: Door, post: Post) -> None:
    door.when(path="/responses").respond("a response")
    door.when(path="/chat/completions").respond("a chat")

    chat = post("/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}).json()
    response = post("/responses", {"model": "m", "input": "hi"}).json()

    assert chat["choices"][0]["message"]["content"] == "a chat"
    assert response["output"][0]["content"][0]["text"] == "a response"


def test_star_stands_for_one_part_of_the_path(door: Door, base: str) -> None:
    door.when(path="/files/*/content").respond("hello")

    assert httpx2.get(f"{base}/files/file-of-yesterday/content").text == "hello"


def test_method_may_come_first(door: Door, base: str) -> None:
    door.when(path="DELETE /files/*").respond('{"deleted": false}')

    assert httpx2.get(f"{base}/files/a").status_code == 404
    assert httpx2.delete(f"{base}/files/a").json() == {"deleted": False}
    assert [request.method for request in door.requests] == ["GET", "DELETE"]


def test_error_is_the_providers(door: Door, gpt: openai.OpenAI) -> None:
    door.when(path="/embeddings").respond(HTTPError(429, message="slow down", retry_after=1))

    with pytest.raises(openai.RateLimitError, match="slow down") as caught:
        gpt.embeddings.create(**EMBED)

    assert caught.value.response.headers["retry-after"] == "1"
    assert door.requests[0].state == "broken"


@pytest.mark.parametrize(
    ("steps", "timeout", "error"),
    [
        ((Disconnect(),), 60, httpx2.ReadError),
        (("{}", Disconnect(how="cut")), 60, httpx2.RemoteProtocolError),
        ((Stall(),), 0.2, httpx2.ReadTimeout),
    ],
    ids=["reset", "cut", "stall"],
)
def test_connection_breaks(door: Door, base: str, steps: Any, timeout: float, error: type[Exception]) -> None:
    door.when(path="/embeddings").respond(*steps)

    with httpx2.Client(timeout=timeout) as client, pytest.raises(error):
        client.post(f"{base}/embeddings", json=EMBED)


def test_body_is_garbage_or_half_of_it(door: Door, post: Post) -> None:
    door.when(path="/embeddings").respond(Malformed("<html>"))
    door.when(path="/embeddings").respond('{"abcdefgh": 1}', Truncate())

    assert post("/embeddings", EMBED).text == "<html>"
    assert post("/embeddings", EMBED).text == '{"abcde'


def test_wait_and_gate_hold_the_answer(door: Door, post: Post) -> None:
    gate = Gate()
    gate.open()
    door.when(path="/embeddings").respond(Wait(0.01), gate, "{}")

    assert post("/embeddings", EMBED).json() == {}


def test_text_that_is_no_json_is_refused_where_json_is_due(door: Door, post: Post) -> None:
    door.when(path="/embeddings").respond("hello")

    reply = post("/embeddings", EMBED)

    said = "what a script says is the whole body here, so its text must be JSON"
    assert (reply.status_code, said in reply.json()["error"]["message"]) == (400, True)
    with pytest.raises(ScriptError, match=said):
        door.verify()
    door._playbook.unexpected.clear()


def test_frames_of_a_stream_are_the_deltas(door: Door, gpt: openai.OpenAI) -> None:
    event = {"type": "image_generation.completed", "b64_json": "", "created_at": 1}
    door.when(path="/images/generations").respond(Text([json.dumps(event), json.dumps(event)]))

    events = list(gpt.images.generate(prompt="cat", stream=True))

    assert [one.type for one in events] == ["image_generation.completed"] * 2
    assert door.requests[0].chunks_sent == 2


def test_first_frame_of_a_stream_adds_itself_and_nothing_else(door: Door, post: Post) -> None:
    door.when(path="/images/generations").respond(Frame({"mine": 1}), Text(["{}"]))

    reply = post("/images/generations", {"prompt": "cat", "stream": True})

    assert reply.text == 'data: {"mine":1}\n\ndata: {}\n\n'


def test_frames_that_are_no_json_are_refused(door: Door, gpt: openai.OpenAI) -> None:
    door.when(path="/images/generations").respond("one two")

    with pytest.raises(openai.BadRequestError, match="each delta of a script is a frame here"):
        gpt.images.generate(prompt="cat", stream=True)

    door._playbook.unexpected.clear()


def test_predicate_may_ask_the_door_itself(door: Door, post: Post) -> None:
    def asks(request: Any) -> bool:
        return bool(post("/moderations", {"input": "x"}).json()["results"]) and request.path.endswith("/embeddings")

    door.when(path="/embeddings", predicate=asks).respond("{}")

    assert post("/embeddings", EMBED).json() == {}


def test_script_that_no_request_came_for_is_reported() -> None:
    with MockStreamSDK() as sdk:
        sdk.when(path="/embeddings").respond("{}")

        with pytest.raises(UnusedScriptError, match=r"for when\(path='/embeddings'\)"):
            sdk.verify()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/embedings", "fits no request to mock_stream_.*Near to it are POST …/embeddings"),
        ("/nothing/like/it", "nothing is known of this path. Known are POST …/chat/completions, "),
        ("", "give the end of a path, such as '/embeddings'"),
        ("https://api.openai.com/v1/embeddings", "give the end of a path"),
        ("FETCH /files", "give the end of a path, such as '/embeddings' or 'GET /files/\\*'"),
        ("PATCH /files", "nothing is known of this path. Near to it are GET …/files, POST …/files"),
        (3, "give a str"),
    ],
)
def test_path_that_no_request_can_have_is_refused(door: Door, path: Any, said: str) -> None:
    with pytest.raises(ScriptError, match=said):
        door.when(path=path)


@pytest.mark.parametrize(
    "path",
    [
        "/completions",
        "embeddings",
        "/v1/files/",
        "/files/*/content",
        "/models/*:countTokens",
        "/api/pull",
        "DELETE /files/*",
    ],
)
def test_path_that_a_request_can_have_is_taken(path: str) -> None:
    with MockStreamSDK() as sdk:
        sdk.when(path=path).respond("{}")


def test_what_was_made_is_forgotten_with_the_scripts() -> None:
    with MockStreamServer() as server:
        base = server.base_url("openai")
        sent: Any = {"file": ("a", b"a"), "purpose": (None, "batch")}
        name = httpx2.post(f"{base}/files", files=sent).json()["id"]
        assert httpx2.get(f"{base}/files/{name}").status_code == 200

        server.reset()

        assert httpx2.get(f"{base}/files/{name}").status_code == 404
        assert httpx2.post(f"{base}/files", files=sent).json()["id"] == name
