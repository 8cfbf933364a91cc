"""Mistral's endpoints that are no chats, asked by its SDK through each door; its models check what they get."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mistralai.client import Mistral, errors

from pytest_mockstream import ErrorEvent, HTTPError, MockStreamServer, ToolCall

from .conftest import Door

pytestmark = pytest.mark.filterwarnings("ignore:ast:DeprecationWarning")  # of jsonpath, which it brings


@pytest.fixture
def mistral(door: Door) -> Iterator[Mistral]:
    base = door.url if isinstance(door, MockStreamServer) else None
    with Mistral(api_key="x", server_url=base) as client:
        yield client


def test_conversation_says_what_the_script_says(door: Door, mistral: Mistral) -> None:
    door.respond("Paris is lovely.")
    door.respond("Yes.")

    first: Any = mistral.beta.conversations.start(model="mistral-large", inputs="Tell me of Paris")
    second: Any = mistral.beta.conversations.append(conversation_id=first.conversation_id, inputs="Really?")

    assert [entry.content for entry in first.outputs] == ["Paris is lovely."]
    assert (second.conversation_id, second.outputs[0].content) == (first.conversation_id, "Yes.")
    assert [request.text for request in door.requests] == ["Tell me of Paris", "Really?"]
    shown: Any = mistral.beta.conversations.get(conversation_id=first.conversation_id)
    assert (shown.id, shown.model) == (first.conversation_id, "mistral-large")
    mistral.beta.conversations.delete(conversation_id=first.conversation_id)
    with pytest.raises(errors.SDKError, match="no conversation has the id"):
        mistral.beta.conversations.get(conversation_id=first.conversation_id)


def test_conversation_is_streamed(door: Door, mistral: Mistral) -> None:
    door.respond("Let me ", ToolCall("weather", {"city": "Paris"}))

    with mistral.beta.conversations.start_stream(model="mistral-large", inputs="hi") as stream:
        events: list[Any] = [event.data for event in stream]

    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("conversation.response.started", "conversation.response.done")
    assert "".join(event.content for event in events if event.type == "message.output.delta") == "Let me "
    calls = [event for event in events if event.type == "function.call.delta"]
    assert {(call.name, call.tool_call_id, call.output_index) for call in calls} == {("weather", "call_1", 1)}
    assert "".join(call.arguments for call in calls) == '{"city": "Paris"}'


def test_error_of_a_conversation_is_told(door: Door, mistral: Mistral) -> None:
    door.respond("so far ", ErrorEvent("no more"))
    door.respond(HTTPError(429, message="slow down"))

    with mistral.beta.conversations.start_stream(model="mistral-large", inputs="hi") as stream:
        *_, last = [event.data for event in stream]
    with pytest.raises(errors.SDKError, match="slow down"):
        mistral.beta.conversations.start(model="mistral-large", inputs="hi", retries=None)

    assert (last.type, getattr(last, "message", None)) == ("conversation.response.error", "no more")


@pytest.mark.parametrize(("kind", "status"), [("rate_limit_error", 429), ("invalid_request_error", 400), ("odd", 500)])
def test_type_of_an_error_is_told_by_its_status_in_a_conversation(
    door: Door, mistral: Mistral, kind: str, status: int
) -> None:
    door.respond(ErrorEvent("no more", type=kind), times=2)

    with mistral.beta.conversations.start_stream(model="mistral-large", inputs="hi") as stream:
        *_, last = [event.data for event in stream]
    with pytest.raises(errors.SDKError) as caught:
        mistral.beta.conversations.start(model="mistral-large", inputs="hi", retries=None)

    # The type of the event is that it is an error: nothing but its code says which.
    assert (getattr(last, "code", None), caught.value.status_code) == (status, status)


def test_file_that_was_uploaded_can_be_listed_read_and_deleted(mistral: Mistral) -> None:
    file = mistral.files.upload(file={"file_name": "a.jsonl", "content": b"{}\n"}, purpose="batch")

    assert (file.filename, file.size_bytes, file.num_lines) == ("a.jsonl", 3, 1)
    assert [one.id for one in mistral.files.list().data] == [file.id]
    assert mistral.files.retrieve(file_id=file.id).filename == "a.jsonl"
    assert mistral.files.download(file_id=file.id).read() == b"{}\n"
    assert httpx2.get(mistral.files.get_signed_url(file_id=file.id).url).content == b"{}\n"
    assert mistral.files.delete(file_id=file.id).deleted
    with pytest.raises(errors.SDKError, match="no file has the id"):
        mistral.files.retrieve(file_id=file.id)


def test_transcription_is_what_the_script_says(door: Door, mistral: Mistral) -> None:
    door.respond("Hello there", times=2)
    file: Any = {"file_name": "a.wav", "content": b"RIFF"}

    heard = mistral.audio.transcriptions.complete(model="voxtral-mini", file=file)
    with mistral.audio.transcriptions.stream(model="voxtral-mini", file=file) as stream:
        events: list[Any] = [event.data for event in stream]

    assert (heard.text, heard.model) == ("Hello there", "voxtral-mini")
    assert [event.text for event in events] == ["Hello ", "there", "Hello there"]
    assert events[-1].type == "transcription.done"


def test_embeddings_have_an_id(mistral: Mistral) -> None:
    made = mistral.embeddings.create(model="mistral-embed", inputs=["a", "b"], output_dimension=8)

    assert made.id.startswith("embd-")
    assert [len(one.embedding or []) for one in made.data] == [8, 8]


def test_nothing_is_flagged(mistral: Mistral) -> None:
    told = mistral.classifiers.moderate(model="mistral-moderation", inputs=["a", "b"])
    hello: Any = [{"role": "user", "content": "a"}]
    talk = mistral.classifiers.moderate_chat(model="mistral-moderation", inputs=hello)

    assert [any((one.categories or {}).values()) for one in told.results + talk.results] == [False] * 3


def test_document_has_a_page(mistral: Mistral) -> None:
    url = "data:application/pdf;base64," + base64.b64encode(b"x").decode()

    read = mistral.ocr.process(model="mistral-ocr", document={"type": "document_url", "document_url": url})

    assert [page.markdown.splitlines()[0] for page in read.pages] == ["# Mock page"]


def test_models_are_listed(mistral: Mistral) -> None:
    (listed,) = mistral.models.list().data or []
    one = mistral.models.retrieve(model_id="mistral-x")

    assert (type(listed).__name__, type(one).__name__) == ("BaseModelCard", "BaseModelCard")
    assert (listed.model_dump()["id"], one.model_dump()["id"]) == ("mock-model", "mistral-x")
