"""Frames in the user's own words, and what comes after the last chunk: the bytes, and what counts them."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import httpx
import pytest
from aws_models import messages
from decoders import decode_sse
from door import HELLO, Door, frames

from pytest_mockstream import (
    Disconnect,
    End,
    ErrorEvent,
    Failed,
    Frame,
    HTTPError,
    KeepAlive,
    Malformed,
    MockStreamClient,
    Reasoning,
    Script,
    ScriptError,
    Stall,
    Text,
    Truncate,
    Usage,
    Wait,
)
from pytest_mockstream.wire.blocks import SIGNATURE
from pytest_mockstream.wire.reading import rest

CHAT = ("/v1/chat/completions", {"model": "gpt", "messages": HELLO, "stream": True})
RESPONSES = ("/v1/responses", {"model": "gpt", "input": "hi", "stream": True})
MESSAGES = ("/v1/messages", {"model": "claude", "messages": HELLO, "max_tokens": 9, "stream": True})
GEMINI = ("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "hi"}]}]})
ARRAY = ("/v1beta/models/m:streamGenerateContent", GEMINI[1])
OLLAMA = ("/api/chat", {"model": "llama", "messages": HELLO})
STREAMED = [CHAT, RESPONSES, MESSAGES, GEMINI, ARRAY, OLLAMA]
WHOLE = [
    (CHAT[0], CHAT[1] | {"stream": False}),
    (RESPONSES[0], RESPONSES[1] | {"stream": False}),
    (MESSAGES[0], MESSAGES[1] | {"stream": False}),
    ("/v1beta/models/m:generateContent", GEMINI[1]),
    (OLLAMA[0], OLLAMA[1] | {"stream": False}),
]
BLOCK = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "Paris"}}


CONVERSE = ("/model/anthropic.claude-3/converse-stream", {"messages": [{"role": "user", "content": [{"text": "hi"}]}]})
STREAMED_MODEL = "invoke-with-response-stream"
NOVA = (f"/model/amazon.nova-lite-v1:0/{STREAMED_MODEL}", CONVERSE[1])
ALL_STREAMED = [
    CONVERSE,
    NOVA,
    (f"/model/amazon.titan-text-lite-v1/{STREAMED_MODEL}", {"inputText": "hi"}),
    (f"/model/meta.llama3/{STREAMED_MODEL}", {"prompt": "hi"}),
    (f"/model/mistral.mistral-7b/{STREAMED_MODEL}", {"prompt": "hi"}),
    (f"/model/cohere.command-r-v1:0/{STREAMED_MODEL}", {"message": "hi"}),
    ("/v2/chat", {"model": "command-a", "messages": HELLO, "stream": True}),
    ("/generate_stream", {"inputs": "hi"}),
    ("/v1/completions", {"model": "m", "prompt": "hi", "stream": True}),
    *STREAMED,
]


def body(script: Script, asked: tuple[str, Any]) -> str:
    return Door(script).body(*asked).decode()


def refusal(script: Script, asked: tuple[str, Any]) -> str:
    """Return the error that the request is answered with, which fails the test, too."""
    door = Door(script)
    error = door.post(*asked).error
    assert isinstance(error, ScriptError)
    assert door.playbook.unexpected == [error]
    return str(error)


@pytest.mark.parametrize("asked", STREAMED)
def test_script_of_frames_alone_is_the_body_and_nothing_else(asked: Any) -> None:
    door = Door(Script(Frame({"type": "a", "sequence_number": 0}), Wait(0), Frame({"é": 1, "sequence_number": 1})))

    text = door.body(*asked).decode()

    values = [
        json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line[0:1] == "d" or asked is OLLAMA
    ]
    if asked is ARRAY:
        values = json.loads(text)
    assert values == [{"type": "a", "sequence_number": 0}, {"é": 1, "sequence_number": 1}]
    assert (door.request.state, door.request.chunks_sent, door.request.chunk_count) == ("exhausted", 2, 2)


@pytest.mark.parametrize("asked", WHOLE)
def test_one_frame_is_the_body_where_the_reply_is_not_streamed(asked: Any) -> None:
    assert body(Script(Wait(0), Frame({"mine": True})), asked) == '{"mine":true}'
    assert body(Script(Frame('{"mine":  true}'), End(), Wait(0)), asked) == '{"mine":  true}'


@pytest.mark.parametrize("asked", WHOLE)
@pytest.mark.parametrize(
    "steps", [["a", Frame({})], [Frame({}), Frame({})], [Frame({}, chunks=0)], ["a", End(), Frame({})]]
)
def test_frames_beside_other_content_are_refused_where_the_reply_is_not_streamed(asked: Any, steps: Any) -> None:
    assert "one single Frame, with no content beside it, would be its body" in refusal(Script(*steps), asked)


def test_half_of_the_frame_comes_where_a_whole_body_breaks() -> None:
    door = Door(Script(Frame({"a": 1}), Truncate()))

    assert door.body(*WHOLE[0]) == b'{"a'
    assert door.request.state == "broken"


@pytest.mark.parametrize("asked", STREAMED)
def test_every_frame_counts_as_a_chunk(asked: Any) -> None:
    script = Script("Let me ", Frame({"type": "x"}), Reasoning("so"), Frame({"type": "y"}, chunks=0), "ok", Frame({}))
    door = Door(script)

    door.body(*asked)

    assert (door.request.chunks_sent, door.request.chunk_count) == (script.chunk_count, 7)


def test_frame_comes_where_it_stands() -> None:
    said = decode_sse(Door(Script("a", Frame({"mine": 1}), "b")).body(*CHAT))

    values = [json.loads(event.data) for event in said[:-1]]
    assert [value.get("mine") or value["choices"][0]["delta"].get("content") for value in values] == [
        "",
        "a",
        1,
        "b",
        None,
    ]


@pytest.mark.parametrize("asked", ALL_STREAMED, ids=lambda asked: asked[0])
def test_first_frame_adds_itself_and_nothing_else(asked: Any) -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    event = "mine" if asked is CONVERSE else None

    with_frame = events_of(Script(Frame({"mine": 1}, event=event), "a", usage=usage), asked)
    without = events_of(Script("a", usage=usage), asked)

    assert [event for event in with_frame if event != {"mine": 1}] == without
    assert len(with_frame) == len(without) + 1


def events_of(script: Script, asked: tuple[str, Any]) -> list[Any]:
    """Return what the events of a stream say; None for what is not JSON."""
    written = Door(script).body(*asked)
    if asked[0].startswith("/model/"):
        said = [one.said for one in messages(written)]
        return [json.loads(b64decode(one["bytes"])) if one.keys() == {"bytes"} else one for one in said]
    if asked is ARRAY:
        return list(json.loads(written))
    lines = written.splitlines() if asked is OLLAMA else [event.data for event in decode_sse(written)]
    # Of OpenAI's responses, a sequence number counts the frame, too.
    return [rest(json.loads(line), "sequence_number") if line != "[DONE]" else None for line in lines]


@pytest.mark.parametrize("agent", ["OpenAI/Python", "mistral-client-python"])
def test_first_frame_adds_itself_and_nothing_else_to_a_transcription(agent: str) -> None:
    form = {"model": "m", "stream": "true"}
    sent = httpx.Request("POST", "https://x/v1/audio/transcriptions", data=form, files={"file": b"RIFF"})
    headers = {"content-type": sent.headers["content-type"], "user-agent": agent}

    def said(*steps: Any) -> list[Any]:
        script = Script(*steps, usage=Usage(prompt_tokens=1, completion_tokens=1))
        answered = Door(script).answer("POST", str(sent.url), headers, sent.read())
        return [json.loads(event.data) for event in decode_sse(b"".join(frames(answered)))]

    assert said(Frame({"mine": 1}), "a") == [{"mine": 1}, *said("a")]


def test_first_frame_adds_itself_and_nothing_else_to_a_conversation() -> None:
    def said(*steps: Any) -> list[Any]:
        asked = {"model": "m", "inputs": "hi", "stream": True}
        script = Script(*steps, usage=Usage(prompt_tokens=1, completion_tokens=1))
        headers = {"user-agent": "mistral-client-python"}
        answered = Door(script).answer("POST", "https://x/v1/conversations", headers, asked)
        return [json.loads(event.data) for event in decode_sse(b"".join(frames(answered)))]

    opening, *others = said("a")
    assert said(Frame({"mine": 1}), "a") == [opening, {"mine": 1}, *others]


def test_first_frame_comes_behind_the_opening_and_one_that_does_not_count_before_it() -> None:
    script = Script(Frame({"bare": 1}, chunks=0), Frame({"mine": 1}), "a")

    values = [json.loads(event.data) for event in decode_sse(Door(script).body(*CHAT))[:-1]]

    assert [next(iter(value)) for value in values[:3]] == ["bare", "id", "mine"]
    assert values[1]["choices"][0]["delta"]["role"] == "assistant"


def test_anthropic_block_is_stopped_before_the_frame_that_starts_another() -> None:
    start = Frame({"type": "content_block_start", "index": 1, "content_block": BLOCK})
    script = Script("a", start, Frame({"type": "content_block_stop", "index": 1}), "b")

    events = decode_sse(Door(script).body(*MESSAGES))

    assert [(event.name, json.loads(event.data).get("index")) for event in events] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2),
        ("content_block_delta", 2),
        ("content_block_stop", 2),
        ("message_delta", None),
        ("message_stop", None),
    ]


def test_anthropic_frame_in_a_block_leaves_it_open() -> None:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "!"}}

    with (
        Door(Script("a", Frame(delta), "b"))
        .anthropic()
        .messages.stream(model="c", max_tokens=9, messages=HELLO) as stream
    ):
        assert stream.get_final_text() == "a!b"


@pytest.mark.parametrize(("step", "kind"), [(Text("a"), "text"), (Reasoning("a"), "thinking")])
def test_anthropic_frame_that_ends_a_block_begins_another(step: Text | Reasoning, kind: str) -> None:
    script = Script(step, Frame({"type": "content_block_stop", "index": 0}, chunks=0), step, "b")

    events = decode_sse(Door(script).body(*MESSAGES))
    with Door(script).anthropic().messages.stream(model="c", max_tokens=9, messages=HELLO) as stream:
        message = stream.get_final_message()

    count = 2 if kind == "text" else 3
    assert [event.name for event in events].count("content_block_stop") == count
    assert [block.type for block in message.content] == [kind, kind, "text"][:count]
    assert message.content[0].model_dump().get("signature", SIGNATURE) == SIGNATURE


def test_anthropic_helper_reads_a_block_of_the_users() -> None:
    start = Frame({"type": "content_block_start", "index": 1, "content_block": BLOCK})
    script = Script("a", start, Frame({"type": "content_block_stop", "index": 1}), "b", finish_reason="pause_turn")

    with Door(script).anthropic().messages.stream(model="c", max_tokens=9, messages=HELLO) as stream:
        message = stream.get_final_message()

    assert [block.type for block in message.content] == ["text", "server_tool_use", "text"]
    assert message.stop_reason == "pause_turn"


def test_responses_number_a_frame_close_the_item_before_it_and_repeat_its_item() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
    added = {"type": "response.output_item.added", "output_index": 1, "item": item | {"status": "in_progress"}}
    script = Script(
        "a", Frame(added), Frame({"type": "response.output_item.done", "output_index": 1, "item": item}), "b"
    )
    door = Door(script)

    with door.openai().responses.stream(model="gpt", input="hi") as stream:
        events = list(stream)
        response = stream.get_final_response()

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [item.type for item in response.output] == ["message", "web_search_call", "message"]
    assert [getattr(item, "status", None) for item in response.output] == ["completed"] * 3
    assert response.output_text == "ab"


def test_frame_has_all_fields_of_an_event_stream() -> None:
    script = Script(Frame({"type": "x"}, event="y", id="7", retry=3000), Frame({"type": "x"}, event=""))

    assert body(script, MESSAGES) == ('event: y\nid: 7\nretry: 3000\ndata: {"type":"x"}\n\ndata: {"type":"x"}\n\n')


def test_text_of_a_frame_is_sent_as_it_is() -> None:
    script = Script(Frame('{"a":\n 1}'), Frame("[DONE]"))

    assert body(script, CHAT) == 'data: {"a":\ndata:  1}\n\ndata: [DONE]\n\n'
    assert body(Script(Frame('{"a":\n 1}')), OLLAMA) == '{"a":  1}\n'


@pytest.mark.parametrize("asked", [RESPONSES, MESSAGES, GEMINI, OLLAMA, *WHOLE])
def test_text_that_is_not_json_is_refused_where_json_is_due(asked: Any) -> None:
    assert "Frame(data='[DONE]'" in (said := refusal(Script(Frame("[DONE]")), asked))
    assert "is not JSON: give JSON, or for garbage Malformed(...)" in said


def test_refusal_says_which_text_is_legal() -> None:
    assert "give JSON or the text '[DONE]', or for garbage Malformed(...)" in refusal(Script("a", Frame("DONE")), CHAT)


@pytest.mark.parametrize("asked", [ARRAY, OLLAMA])
@pytest.mark.parametrize("frame", [Frame({}, event="x"), Frame({}, id="1"), Frame({}, retry=1)])
def test_fields_of_event_streams_are_refused_elsewhere(asked: Any, frame: Frame) -> None:
    assert "has fields of an event stream" in refusal(Script(frame), asked)


@pytest.mark.parametrize(
    ("asked", "frame", "message"),
    [
        (CONVERSE, Frame({}), "has no event, which is its type in AWS's event stream: give event="),
        (CONVERSE, Frame({}, event=""), "has no event, which is its type in AWS's event stream: give event="),
        (CONVERSE, Frame({}, event="x", id="1"), "has an id or retry, which AWS's event stream has no place for"),
        (CONVERSE, Frame({}, event="x", retry=1), "has an id or retry, which AWS's event stream has no place for"),
        (NOVA, Frame({}, event="x"), "but each event of this one is a 'chunk': give the data alone"),
        (NOVA, Frame({}, id="1"), "but each event of this one is a 'chunk': give the data alone"),
        (NOVA, Frame({}, retry=1), "but each event of this one is a 'chunk': give the data alone"),
    ],
)
def test_frame_of_aws_has_an_event_where_events_have_types_and_nothing_else(
    asked: Any, frame: Frame, message: str
) -> None:
    assert message in refusal(Script(frame), asked)


def test_event_of_a_frame_is_its_type_in_the_event_stream_of_aws() -> None:
    written = Door(Script(Frame({"a": 1}, event="mine"))).body(*CONVERSE)

    assert messages(written) == [("event", "mine", {"a": 1})]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": 1}, r"Frame\(1\): give JSON as a mapping or a list, or the text of the frame as a str"),
        ({"data": ""}, r"Frame\(''\): give JSON as"),
        ({"data": b"{}"}, r"give JSON as a mapping"),
        ({"data": {"a": {1}}}, r"cannot be written as JSON: .*set"),
        ({"data": [float("nan")]}, "cannot be written as JSON"),
        ({"data": {}, "event": "a\nb"}, r"Frame\(event='a\\nb'\): give a str of one line, or None"),
        ({"data": {}, "id": 1}, r"Frame\(id=1\): give a str of one line"),
        ({"data": {}, "retry": -1}, r"Frame\(retry=-1\): give milliseconds"),
        ({"data": {}, "retry": 1.5}, r"Frame\(retry=1.5\)"),
        ({"data": {}, "chunks": 2}, r"Frame\(chunks=2\): give 1 if it counts as a chunk, 0 if it does not"),
        ({"data": {}, "chunks": True}, r"Frame\(chunks=True\)"),
    ],
)
def test_frame_that_cannot_be_is_refused_where_it_is_made(given: Any, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        Frame(**given)


def test_reader_of_the_default_client_gets_the_frame_as_the_item_of_a_chunk() -> None:
    client = MockStreamClient()
    client.respond("a ", Frame({"x": 1}), Frame({"y": 1}, chunks=0), "b", times=2)

    chunks = list(client.complete_stream("hi"))

    assert [(chunk.delta, chunk.item) for chunk in chunks] == [
        ("a ", None),
        ("", Frame({"x": 1})),
        ("b", None),
        ("", None),
    ]
    assert chunks[-1].content == "a b"
    assert client.complete("hi").items == (Frame({"x": 1}),)


def test_frames_alone_end_with_the_last_of_them_for_the_default_client_too() -> None:
    client = MockStreamClient()
    client.respond(Frame({"x": 1}), Frame({"y": 1}), Frame("end", chunks=0))

    stream = client.complete_stream("hi")

    assert [(chunk.item, chunk.finish_reason) for chunk in stream] == [
        (Frame({"x": 1}), None),
        (Frame({"y": 1}), "stop"),
    ]
    assert (stream.state, stream.request.chunk_count) == ("exhausted", 2)


def test_frame_is_paced_as_a_chunk() -> None:
    script = Script("a", Frame({}), Frame({}, chunks=0), ttft=1, delay=2)

    assert [step.seconds for step in script.schedule() if isinstance(step, Wait)] == [1, 2]


# After the last chunk.


def test_body_stays_open_after_the_last_chunk() -> None:
    script = Script("a", End(), Wait(0.5), KeepAlive(), Frame("[DONE]"))
    answered = Door(script).answer("POST", f"https://localhost{CHAT[0]}", {}, CHAT[1])
    pieces: list[tuple[float, bytes]] = []

    while isinstance(got := answered.playback.receive(), tuple):
        pieces.append((got[0], answered.delivered(*got)))
    answered.leave()

    assert [piece for _, piece in pieces[-3:]] == [b"data: [DONE]\n\n", b": keep-alive\n\n", b"data: [DONE]\n\n"]
    assert [instant for instant, _ in pieces[-3:]] == [0, 0.5, 0.5]
    assert (answered.entry.chunks_sent, script.chunk_count) == (2, 2)


@pytest.mark.parametrize("asked", [*STREAMED, *WHOLE])
def test_connection_can_break_after_the_last_chunk(asked: Any) -> None:
    whole, broken = Door(Script("a b")), Door(Script("a b", End(), Disconnect()))

    assert broken.body(*asked) == whole.body(*asked)
    assert (whole.request.state, broken.request.state) == ("exhausted", "broken")
    assert broken.request.chunks_sent == whole.request.chunks_sent


@pytest.mark.parametrize("asked", STREAMED)
def test_keep_alive_after_the_last_chunk_leaves_the_body_whole(asked: Any) -> None:
    script = Script("a", End(), KeepAlive(), Malformed("", framed=False))

    text = body(script, asked)

    if asked is ARRAY:
        assert [part["text"] for said in json.loads(text) for part in said["candidates"][0]["content"]["parts"]] == [
            "a",
            "",
        ]
    else:
        assert text.startswith(body(Script("a"), asked))


def test_no_frame_comes_after_the_end_of_a_json_array() -> None:
    assert "after the end of a JSON array no frame can come" in refusal(Script("a", End(), Frame({})), ARRAY)


@pytest.mark.parametrize("step", ["b", Reasoning("b"), End(), ErrorEvent(), HTTPError(500), Truncate()])
def test_what_cannot_come_after_the_last_chunk_is_refused(step: Any) -> None:
    with pytest.raises(ScriptError, match=r"comes after End\(\): after the last chunk come only Wait, Gate, Stall"):
        Script("a", End(), step)


@pytest.mark.parametrize("background", [False, True])
def test_default_client_is_at_the_end_with_the_last_chunk(background: bool) -> None:
    client = MockStreamClient(producer="background" if background else "inline")
    client.respond("a", End(), Stall())

    with client.complete_stream("hi") as stream:
        assert stream.read() == "a"
        assert stream.state == "exhausted"


def test_end_alone_is_an_empty_answer() -> None:
    assert Script(End()).chunk_count == 1
    assert body(Script(End()), CHAT) == body(Script(""), CHAT)


def test_frames_and_end_stay_the_whole_body() -> None:
    script = Script(Frame({"x": 1}), End(), Frame("[DONE]"))

    assert body(script, CHAT) == 'data: {"x":1}\n\ndata: [DONE]\n\n'
    assert script.chunk_count == 1


@pytest.mark.parametrize(
    "shape", [{"fragment": "byte"}, {"fragment": 7}, {"line_ending": "\r\n"}, {"between": "comment"}]
)
def test_shapes_leave_frames_and_their_count_as_they_are(shape: Any) -> None:
    door = Door(Script("a ", Frame({"x": 1}), "b", End(), Frame("[DONE]"), **shape))

    events = decode_sse(door.body(*CHAT))

    assert json.loads(events[2].data) == {"x": 1}
    assert [event.data for event in events[-2:]] == ["[DONE]", "[DONE]"]
    assert door.request.chunks_sent == 4


def test_completions_may_end_twice() -> None:
    script = Script("a", End(), Frame("[DONE]"))

    events = decode_sse(Door(script).body("/v1/completions", {"model": "gpt", "prompt": "hi", "stream": True}))

    assert [event.data for event in events[-2:]] == ["[DONE]", "[DONE]"]


def test_each_frame_comes_twice_where_all_are_duplicated() -> None:
    events = decode_sse(Door(Script(Frame({"x": 1}), duplicate=1)).body(*CHAT))

    assert [event.data for event in events] == ['{"x":1}'] * 2


def test_bytes_of_frames_are_handed_over_one_by_one() -> None:
    answered = Door(Script("a", Frame({"x": 1}), Text(["b"]))).answer(
        "POST", f"https://localhost{CHAT[0]}", {}, CHAT[1]
    )

    assert b'data: {"x":1}\n\n' in list(frames(answered))


@pytest.mark.parametrize(
    "steps",
    [("one", Frame({"type": "response.of_mine"}), Frame([1]), Frame({"type": "mine"}, chunks=0), "two"), (Failed(),)],
    ids=["frames", "failure"],
)
@pytest.mark.parametrize("after", [1, 5])
def test_response_with_frames_or_a_failure_is_streamed_from_an_event_on(steps: Any, after: int) -> None:
    door = Door(Script(*steps))
    whole = [json.loads(event.data) for event in decode_sse(door.body(*RESPONSES))]

    again = door.answer("GET", f"https://localhost/v1/responses/resp_1?stream=true&starting_after={after}")
    rest = [json.loads(event.data) for event in decode_sse(b"".join(frames(again)))]

    assert rest == [said for said in whole if not isinstance(said, dict) or said["sequence_number"] > after]
