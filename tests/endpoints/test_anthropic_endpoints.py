"""Anthropic's endpoints that are no chats, asked by its SDK through each door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from pytest_mockstream import HTTPError, MockStreamServer

from .conftest import Door
from .strict import strict


@pytest.fixture
def claude(door: Door) -> Iterator[anthropic.Anthropic]:
    base = door.base_url("anthropic") if isinstance(door, MockStreamServer) else None
    with anthropic.Anthropic(base_url=base, api_key="x", max_retries=0) as client:
        yield client


def asked(name: str, text: str) -> Any:
    talk = [{"role": "user", "content": text}]
    return {"custom_id": name, "params": {"model": "claude", "max_tokens": 9, "messages": talk}}


def test_file_that_was_uploaded_can_be_listed_read_and_deleted(claude: anthropic.Anthropic) -> None:
    file = strict(claude.beta.files.upload(file=("a.txt", b"x\xff", "text/plain")))

    assert (file.filename, file.mime_type, file.size_bytes) == ("a.txt", "text/plain", 2)
    assert [strict(one).id for one in claude.beta.files.list()] == [file.id]
    assert strict(claude.beta.files.retrieve_metadata(file.id)).id == file.id
    assert claude.beta.files.download(file.id).read() == b"x\xff"
    assert strict(claude.beta.files.delete(file.id)).id == file.id
    with pytest.raises(anthropic.NotFoundError, match="no file has the id"):
        claude.beta.files.retrieve_metadata(file.id)


def test_batch_is_answered_from_the_scripts(door: Door, claude: anthropic.Anthropic) -> None:
    door.when(contains="France").respond("Paris")
    door.when(contains="Peru").respond(HTTPError(529))
    wrong = {"custom_id": "c", "params": {"model": "claude"}}

    begun = strict(
        claude.messages.batches.create(requests=[asked("a", "France?"), asked("b", "Peru?"), wrong])  # type: ignore[list-item] # it is wrong
    )
    ended = strict(claude.messages.batches.retrieve(begun.id))
    good, bad, worse = map(strict, claude.messages.batches.results(begun.id))

    assert (begun.processing_status, ended.processing_status) == ("in_progress", "ended")
    assert (ended.request_counts.succeeded, ended.request_counts.errored) == (1, 2)
    assert (good.custom_id, good.result.message.content[0].text) == ("a", "Paris")
    assert (bad.result.type, bad.result.error.error.type) == ("errored", "overloaded_error")
    assert worse.result.error.error.type == "invalid_request_error"


def test_batch_is_listed_cancelled_and_deleted(claude: anthropic.Anthropic) -> None:
    batch = claude.messages.batches.create(requests=[asked("a", "hi")])

    assert [strict(one).id for one in claude.messages.batches.list()] == [batch.id]
    assert strict(claude.messages.batches.cancel(batch.id)).processing_status == "canceling"
    assert [strict(one).result.type for one in claude.messages.batches.results(batch.id)] == ["canceled"]
    assert strict(claude.messages.batches.delete(batch.id)).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.batches.retrieve(batch.id)


def test_models_and_tokens_are_told(claude: anthropic.Anthropic) -> None:
    assert [strict(model).id for model in claude.models.list()] == ["mock-model"]
    assert strict(claude.models.retrieve("claude-x")).id == "claude-x"
    tokens = claude.messages.count_tokens(model="claude", messages=[{"role": "user", "content": "one two"}])
    assert strict(tokens).input_tokens == 2
