"""200 secrets of all shapes, put wherever one can stand: none is left."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from typing import Any

import pytest
from asking import ANTHROPIC, CHAT, GEMINI, request_of
from made_up_secrets import SHAPES, Secret, leaked, made_up

from pytest_mockstream import (
    Citation,
    ErrorEvent,
    Failed,
    Frame,
    HTTPError,
    Interleave,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    Together,
    ToolCall,
    Wait,
)
from pytest_mockstream.recordings.canonical import canonical
from pytest_mockstream.recordings.scrub import Scrubber

SECRETS, ENVIRON = made_up(seed=1, count=200)
SCRUBBER = Scrubber(ENVIRON)
of_all_shapes = pytest.mark.parametrize("secret", SECRETS[: len(SHAPES)], ids=SHAPES.keys())


def cut(text: str, chance: random.Random) -> list[str]:
    """Cut a text in random fragments."""
    places = sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(1, 12)))
    return [text[one:other] for one, other in zip([0, *places], [*places, len(text)], strict=True)]


def chances() -> random.Random:
    return random.Random(7)  # noqa: S311 - made up, and the same in every run


def test_secrets_have_all_shapes() -> None:
    assert len({secret.bare for secret in SECRETS}) == 200
    assert len(SHAPES) >= 20


def test_none_is_left_in_a_text() -> None:
    assert leaked([SCRUBBER.scrub(f"so it is {secret.text} and so on") for secret in SECRETS], SECRETS) == []


def test_none_is_left_in_fragments() -> None:
    chance = chances()

    made = [SCRUBBER.deltas(cut(f"so it is {secret.text} and so on", chance)) for secret in SECRETS]

    assert leaked(["".join(fragments) for fragments in made], SECRETS) == []
    assert all("".join(fragments).startswith("so it is ") for fragments in made)


def test_none_is_left_in_values() -> None:
    body = [
        {"said": {"a": [secret.text]}, "json": json.dumps({"x": [json.dumps([secret.text])]})} for secret in SECRETS
    ]

    assert leaked(SCRUBBER.scrub(body), SECRETS) == []


def steps_with(secret: Secret, chance: random.Random) -> list[Any]:
    said = f"so it is {secret.text} and so on"
    arguments = json.dumps({"note": said}, ensure_ascii=chance.random() < 0.5)
    event = [Frame({"choices": [{"delta": {"content": part}}]}) for part in cut(said, chance)]
    begin, *rest = cut(said, chance)
    return [
        Text(cut(said, chance)),
        Text(begin),
        Wait(1),
        *(Text([part]) for part in rest),
        Reasoning(cut(said, chance), signature="c2lnbmF0dXJl"),
        Refusal(cut(said, chance)),
        ToolCall("f", fragments=cut(arguments, chance)),
        ToolCall("f", {"note": said, secret.text: "x"}),
        Interleave(ToolCall("f", fragments=cut(arguments, chance)), ToolCall("g", fragments=["", "{}"])),
        Together(Text([said]), Reasoning([said])),
        ServerTool("web_search", {"query": said}, [{"url": "https://a.example", "title": said}]),
        ServerTool("f", {"note": said}, {"error": said}, server=secret.text),
        Citation("https://a.example/", said, said),
        *event,
        Frame(json.dumps({"a": said})),
        KeepAlive(),
        ErrorEvent(said, type="t", code=said),
        Failed(said, code=said),
        HTTPError(
            429, message=said, headers={"x-ratelimit-reset": said if said.isascii() and said.isprintable() else ""}
        ),
        Malformed(said),
    ]


@of_all_shapes
def test_none_is_left_in_the_steps_of_a_script(secret: Secret) -> None:
    steps = steps_with(secret, chances())

    made: list[Any] = SCRUBBER.script(steps)

    assert [type(step) for step in made] == [type(step) for step in steps]
    assert leaked([repr(step) if isinstance(step, Frame) else asdict(step) for step in made], [secret]) == []
    assert leaked("".join(step.text for step in made if isinstance(step, Text)), [secret]) == []
    frames = [step.json for step in made if isinstance(step, Frame)]
    assert leaked("".join(one["choices"][0]["delta"]["content"] for one in frames if "choices" in one), [secret]) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_none_of_many_is_left_in_the_steps_of_a_script(seed: int) -> None:
    secrets, environ = made_up(seed, 200)
    chance = random.Random(seed)  # noqa: S311 - made up, and the same in every run
    scrubber = Scrubber(environ)

    for secret in secrets:
        made: list[Any] = scrubber.script(steps_with(secret, chance))
        assert leaked([asdict(step) for step in made], [secret]) == []
        assert leaked("".join(step.text for step in made if isinstance(step, Text)), [secret]) == []


@of_all_shapes
def test_none_is_left_of_a_request(secret: Secret) -> None:
    said = f"so it is {secret.text} and so on"
    arguments = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"x": said})}}
    chat = {
        "model": "m",
        "messages": [
            {"role": "system", "content": said},
            {"role": "user", "content": [{"type": "text", "text": said}, {"type": "text", "text": said}]},
            {"role": "assistant", "tool_calls": [arguments]},
            {"role": "tool", "tool_call_id": "call_1", "content": said},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": said}}],
        "stop": [said],
    }
    used = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": [said]}}
    anthropic = {"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": [used]}]}
    called = {"functionCall": {"name": "f", "args": {"x": said}}}
    gemini = {"contents": [{"role": "user", "parts": [{"text": said}]}, {"role": "model", "parts": [called]}]}
    headers = {"authorization": "Bearer in-the-header-7", "x-other": "in-the-header-8", "x-api-key": "in-the-header-9"}
    query = "?key=in-the-query-7&x=in-the-query-8"

    for url, body in ((CHAT, chat), (ANTHROPIC, anthropic), (GEMINI, gemini)):
        form = canonical(request_of(url + query, body, headers), SCRUBBER)
        assert leaked(form, [secret]) == []
        assert "so it is" in str(form)
        assert "in-the-" not in str(form)


@of_all_shapes
def test_what_was_scrubbed_matches_what_was_not(secret: Secret) -> None:
    said = f"so it is {secret.text} and so on"
    call = ToolCall("f", fragments=cut(json.dumps({"note": said, "password": said, "pin": 7}), chances()))
    (scrubbed_call, scrubbed_text) = SCRUBBER.script([call, Text(cut(said, chances()))])

    def asked(call: Any, text: Any) -> Any:
        called = {"id": "c1", "type": "function", "function": {"name": call.name, "arguments": call.json}}
        messages = [{"role": "assistant", "content": text.text, "tool_calls": [called]}]
        return canonical(request_of(CHAT, {"model": "m", "messages": messages}), SCRUBBER)

    assert asked(call, Text(said)) == asked(scrubbed_call, scrubbed_text)
