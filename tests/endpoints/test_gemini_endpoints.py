"""Gemini's endpoints that are no chats, asked by its SDK through each door; its models check what they get."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from pytest_mockstream import HTTPError, MockStreamSDK, MockStreamServer

from .conftest import Door


@pytest.fixture
def gemini(door: Door) -> Iterator[genai.Client]:
    base = door.base_url("google") if isinstance(door, MockStreamServer) else None
    with genai.Client(api_key="x", http_options=types.HttpOptions(base_url=base)) as client:
        yield client


def test_file_is_uploaded_listed_and_deleted(door: Door, gemini: genai.Client) -> None:
    file = gemini.files.upload(file=io.BytesIO(b"one two"), config={"mime_type": "text/plain", "display_name": "a"})

    assert (file.display_name, file.mime_type, file.size_bytes, file.state) == ("a", "text/plain", 7, "ACTIVE")
    assert file.name is not None
    assert gemini.files.get(name=file.name).uri == file.uri
    assert [one.name for one in gemini.files.list()] == [file.name]
    gemini.files.delete(name=file.name)
    with pytest.raises(errors.ClientError, match="no file has the id"):
        gemini.files.get(name=file.name)
    begin, upload, *_ = door.requests
    assert begin.body["file"]["display_name"] == "a"
    assert upload.body == {"size": 7}


def test_file_has_the_name_that_it_is_given(gemini: genai.Client) -> None:
    file = gemini.files.upload(file=io.BytesIO(b"x"), config={"mime_type": "text/plain", "name": "mine"})

    assert file.name == "files/mine"
    assert gemini.files.get(name="files/mine").size_bytes == 1


def test_upload_in_pieces_is_put_together() -> None:
    with MockStreamSDK():
        start = {"X-Goog-Upload-Command": "start", "X-Goog-Upload-Header-Content-Type": "text/plain"}
        begun = httpx2.post("https://generativelanguage.googleapis.com/upload/v1beta/files", headers=start, json={})
        url = begun.headers["x-goog-upload-url"]

        more = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": "0"}
        first = httpx2.post(url, headers=more, content=b"ab")
        last = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "2"}
        done = httpx2.post(url, headers=last, content=b"cd")

        assert first.headers["x-goog-upload-status"] == "active"
        assert done.headers["x-goog-upload-status"] == "final"
        name = done.json()["file"]["name"]
        read = httpx2.get(f"https://generativelanguage.googleapis.com/v1beta/{name}:download?alt=media")
        assert read.content == b"abcd"


def test_cached_content_is_kept(gemini: genai.Client) -> None:
    cache = gemini.caches.create(model="gemini-2.5-flash", config={"contents": "one two three", "display_name": "a"})

    assert cache.usage_metadata is not None
    assert (cache.display_name, cache.usage_metadata.total_token_count) == ("a", 3)
    assert cache.name is not None
    assert gemini.caches.get(name=cache.name) == cache
    assert [one.name for one in gemini.caches.list()] == [cache.name]
    assert gemini.caches.update(name=cache.name, config={"ttl": "60s"}).name == cache.name
    gemini.caches.delete(name=cache.name)
    with pytest.raises(errors.ClientError, match="no cached content has the id"):
        gemini.caches.get(name=cache.name)


def test_batch_is_answered_from_the_scripts(door: Door, gemini: genai.Client) -> None:
    door.when(contains="France").respond("Paris")
    door.when(contains="Peru").respond(HTTPError(500, message="no"))
    asked = [{"contents": "France?"}, {"contents": "Peru?"}]

    begun = gemini.batches.create(model="gemini-2.5-flash", src=asked)  # type: ignore[arg-type] # as users write it
    assert begun.name is not None
    ended = gemini.batches.get(name=begun.name)

    assert (begun.state, ended.state) == ("JOB_STATE_PENDING", "JOB_STATE_SUCCEEDED")
    assert ended.dest is not None
    good, bad = ended.dest.inlined_responses or []
    assert good.response is not None
    assert bad.error is not None
    assert (good.response.text, bad.error.message) == ("Paris", "no")
    assert [one.name for one in gemini.batches.list()] == [begun.name]


def test_batch_of_a_file_has_a_file_of_answers(door: Door, gemini: genai.Client) -> None:
    door.respond("Paris")
    line = {"key": "a", "request": {"contents": [{"role": "user", "parts": [{"text": "France?"}]}]}}
    sent = io.BytesIO(json.dumps(line).encode())
    file = gemini.files.upload(file=sent, config={"mime_type": "application/jsonl"})

    begun = gemini.batches.create(model="gemini-2.5-flash", src=file.name or "")
    ended = gemini.batches.get(name=begun.name or "")

    assert ended.dest is not None
    answers = gemini.files.download(file=ended.dest.file_name or "").decode().splitlines()
    (answer,) = map(json.loads, answers)
    assert (answer["key"], answer["response"]["candidates"][0]["content"]["parts"][0]["text"]) == ("a", "Paris")


def test_batch_is_cancelled_and_deleted(gemini: genai.Client) -> None:
    begun = gemini.batches.create(model="gemini-2.5-flash", src=[{"contents": "hi"}])  # type: ignore[arg-type] # see above
    name = begun.name or ""

    gemini.batches.cancel(name=name)
    assert gemini.batches.get(name=name).state == "JOB_STATE_CANCELLED"
    gemini.batches.delete(name=name)
    with pytest.raises(errors.ClientError, match="no batch has the id"):
        gemini.batches.get(name=name)


def test_texts_are_embedded_and_counted(gemini: genai.Client) -> None:
    embedded = gemini.models.embed_content(model="gemini-embedding-001", contents="one two")

    assert embedded.embeddings is not None
    assert len(embedded.embeddings[0].values or []) == 3072
    assert gemini.models.count_tokens(model="gemini-2.5-flash", contents="one two").total_tokens == 2
