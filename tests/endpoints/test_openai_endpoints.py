"""OpenAI's endpoints that are no chats, asked by its SDK through each door."""

from __future__ import annotations

import base64
import io
import json
import wave
import zlib
from typing import Any

import httpx2
import openai
import pytest
from pydantic import TypeAdapter

from pytest_mockstream import HTTPError, MockStreamSDK, Usage

from .conftest import Door
from .strict import strict

HI: Any = [{"role": "user", "content": "hi"}]
WAV = ("a.wav", b"RIFF0000")


def line(custom_id: str, **body: Any) -> bytes:
    asked = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(asked).encode() + b"\n"


def size_of(picture: bytes) -> tuple[int, int]:
    """Return width and height of a PNG, all of whose chunks must be whole."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    place, data = 8, b""
    while place < len(picture):
        length = int.from_bytes(picture[place : place + 4], "big")
        kind, content = picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        assert zlib.crc32(kind + content) == int.from_bytes(picture[place + 8 + length : place + 12 + length], "big")
        data += content if kind == b"IDAT" else b""
        place += 12 + length
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert len(zlib.decompress(data)) == height * (1 + (width + 7) // 8)
    return width, height


# Files, uploads, batches.


def test_file_that_was_uploaded_can_be_listed_read_and_deleted(gpt: openai.OpenAI) -> None:
    file = strict(gpt.files.create(file=("a.jsonl", b"\x00\xff{}\r\n"), purpose="batch"))

    assert gpt.files.content(file.id).read() == b"\x00\xff{}\r\n"
    assert [strict(one).id for one in gpt.files.list()] == [file.id]
    assert strict(gpt.files.retrieve(file.id)) == file
    assert strict(gpt.files.delete(file.id)).deleted
    with pytest.raises(openai.NotFoundError, match="no file has the id"):
        gpt.files.retrieve(file.id)


def test_file_is_recorded_by_its_name_and_size(door: Door, gpt: openai.OpenAI) -> None:
    gpt.files.create(file=("a.jsonl", b"sk-secret"), purpose="batch")

    (request,) = door.requests
    described = {"filename": "a.jsonl", "content_type": "application/octet-stream", "size": 9}
    assert request.body == {"purpose": "batch", "file": described}
    assert request.path == "/v1/files"


def test_upload_in_parts_is_a_file_at_the_end(gpt: openai.OpenAI) -> None:
    upload = strict(gpt.uploads.create(bytes=4, filename="a.txt", mime_type="text/plain", purpose="assistants"))
    parts = [strict(gpt.uploads.parts.create(upload.id, data=data)).id for data in (b"ab", b"cd")]

    done = strict(gpt.uploads.complete(upload.id, part_ids=parts[::-1]))

    assert done.status == "completed"
    assert gpt.files.content(done.file.id).read() == b"cdab"


def test_batch_is_answered_from_the_scripts_line_by_line(door: Door, gpt: openai.OpenAI) -> None:
    door.when(contains="France").respond("Paris")
    door.when(contains="Peru").respond(HTTPError(429, message="later"))
    ask = [{"role": "user", "content": "Capital of France?"}]
    lines = line("a", model="gpt-5", messages=ask) + line("b", model="gpt-5", messages=[{**ask[0], "content": "Peru?"}])
    file = gpt.files.create(file=("a.jsonl", lines), purpose="batch")

    batch = strict(gpt.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"))
    assert batch.status == "validating"
    batch = strict(gpt.batches.retrieve(batch.id))

    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    (good,) = map(json.loads, gpt.files.content(batch.output_file_id).text.splitlines())
    assert good["custom_id"] == "a"
    assert good["response"]["body"]["choices"][0]["message"]["content"] == "Paris"
    (bad,) = map(json.loads, gpt.files.content(batch.error_file_id).text.splitlines())
    assert (bad["response"]["status_code"], bad["response"]["body"]["error"]["message"]) == (429, "later")


def test_batch_whose_file_is_not_valid_has_failed(gpt: openai.OpenAI) -> None:
    file = gpt.files.create(file=("a.jsonl", line("a", model="m", messages=HI) + b"{\n"), purpose="batch")
    batch = gpt.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")

    failed = strict(gpt.batches.retrieve(batch.id))

    assert (failed.status, failed.errors.data[0].line) == ("failed", 2)


def test_batch_that_is_cancelled_stays_cancelled(gpt: openai.OpenAI) -> None:
    batch = gpt.batches.create(input_file_id="f", endpoint="/v1/chat/completions", completion_window="24h")

    assert strict(gpt.batches.cancel(batch.id)).status == "cancelling"
    assert [strict(one).status for one in gpt.batches.list()] == ["cancelled"]


# Images and audio.


def test_images_have_the_size_that_was_asked_for_and_depend_on_the_prompt(gpt: openai.OpenAI) -> None:
    cats = strict(gpt.images.generate(model="gpt-image-1", prompt="cat", size="1536x1024", n=2))
    dog = strict(gpt.images.generate(model="gpt-image-1", prompt="dog"))

    first, second = (base64.b64decode(image.b64_json) for image in cats.data)
    assert size_of(first) == size_of(second) == (1536, 1024)
    assert first != second
    assert base64.b64decode(dog.data[0].b64_json) != first
    again = strict(gpt.images.generate(model="gpt-image-1", prompt="cat", size="1536x1024"))
    assert base64.b64decode(again.data[0].b64_json) == first
    assert len(first) < 4000


def test_images_of_dall_e_are_behind_a_url(gpt: openai.OpenAI) -> None:
    image = strict(gpt.images.generate(model="dall-e-3", prompt="cat")).data[0]

    assert size_of(httpx2.get(image.url).content) == (1024, 1024)


def test_images_are_streamed_with_partial_ones(door: Door, gpt: openai.OpenAI) -> None:
    stream = gpt.images.generate(model="gpt-image-1", prompt="cat", stream=True, partial_images=2)

    *partial, last = map(strict, stream)

    assert [event.partial_image_index for event in partial] == [0, 1]
    assert last.type == "image_generation.completed"
    assert size_of(base64.b64decode(last.b64_json)) == (1024, 1024)
    assert (door.requests[0].streaming, door.requests[0].state) == (True, "exhausted")


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # what OpenAI retires is still called
def test_images_are_edited_and_varied(gpt: openai.OpenAI) -> None:
    edited = strict(gpt.images.edit(model="gpt-image-1", image=[("a.png", b"a"), ("b.png", b"b")], prompt="blue"))
    varied = strict(gpt.images.create_variation(image=("a.png", b"a"), response_format="b64_json"))
    streamed = list(map(strict, gpt.images.edit(image=("a.png", b"a"), prompt="blue", stream=True)))

    assert size_of(base64.b64decode(edited.data[0].b64_json)) == (1024, 1024)
    assert size_of(base64.b64decode(varied.data[0].b64_json)) == (1024, 1024)
    assert [event.type for event in streamed] == ["image_edit.completed"]


def test_speech_is_a_valid_wav(gpt: openai.OpenAI) -> None:
    with gpt.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="three short words", response_format="wav"
    ) as reply:
        sound = b"".join(reply.iter_bytes())

    with wave.open(io.BytesIO(sound)) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(0.9)


def test_speech_is_mp3_unless_told_otherwise(gpt: openai.OpenAI) -> None:
    sound = gpt.audio.speech.create(model="tts-1", voice="alloy", input="hi")

    assert sound.response.headers["content-type"] == "audio/mpeg"
    assert (sound.content[:2], len(sound.content) % 417) == (b"\xff\xfb", 0)


@pytest.mark.parametrize("kind", ["json", "text", "srt", "vtt", "verbose_json", "diarized_json"])
def test_transcription_is_what_the_script_says(door: Door, gpt: openai.OpenAI, kind: Any) -> None:
    door.respond("Hello there")

    heard: Any = gpt.audio.transcriptions.create(
        model="whisper-1", file=WAV, response_format=kind, timestamp_granularities=["word"]
    )

    expected = {
        "text": "Hello there\n",
        "srt": "1\n00:00:00,000 --> 00:00:00,600\nHello there\n",
        "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:00.600\nHello there\n",
    }
    if kind in expected:
        assert heard == expected[kind]
    else:
        assert strict(heard, *([".task"] if kind == "verbose_json" else [])).text == "Hello there"


def test_transcription_is_streamed(door: Door, gpt: openai.OpenAI) -> None:
    door.respond("Hello there")

    events = list(map(strict, gpt.audio.transcriptions.create(model="gpt-4o-transcribe", file=WAV, stream=True)))

    assert [event.delta for event in events[:-1]] == ["Hello ", "there"]
    assert events[-1].text == "Hello there"


@pytest.mark.parametrize("stream", [False, True])
def test_transcription_says_how_many_of_its_tokens_were_sound(door: Door, gpt: openai.OpenAI, stream: bool) -> None:
    door.respond("Hello there", usage=Usage(prompt_tokens=10, completion_tokens=2, prompt_audio_tokens=7))

    heard: Any = gpt.audio.transcriptions.create(model="gpt-4o-transcribe", file=WAV, stream=stream)
    usage = (list(heard)[-1] if stream else heard).usage

    assert (usage.input_token_details.text_tokens, usage.input_token_details.audio_tokens) == (3, 7)
    assert (usage.input_tokens, usage.total_tokens) == (10, 12)


def test_transcription_meets_its_faults(door: Door, gpt: openai.OpenAI) -> None:
    door.respond(HTTPError(429))

    with pytest.raises(openai.RateLimitError):
        gpt.audio.transcriptions.create(model="whisper-1", file=WAV)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_translation_is_what_the_script_says(door: Door, gpt: openai.OpenAI) -> None:
    door.respond("Hello")

    assert strict(gpt.audio.translations.create(model="whisper-1", file=WAV)).text == "Hello"


def test_nothing_is_flagged_unless_a_script_says_so(door: Door, gpt: openai.OpenAI) -> None:
    free = strict(gpt.moderations.create(input=["a", "b"]))
    said = free.model_dump(by_alias=True)
    said["results"][0]["flagged"] = True
    door.when(path="/moderations").respond(json.dumps(said))

    assert [result.flagged for result in free.results] == [False, False]
    assert gpt.moderations.create(input="a").results[0].flagged
    assert not gpt.moderations.create(input="a").results[0].flagged


# Responses, conversations, vector stores.


def test_response_in_the_background_is_there_when_it_is_retrieved(door: Door, gpt: openai.OpenAI) -> None:
    door.respond("Hello there")

    begun = strict(gpt.responses.create(model="gpt-5", input="hi", background=True))
    done = strict(gpt.responses.retrieve(begun.id))

    assert (begun.status, begun.output_text) == ("queued", "")
    assert (done.id, done.status, done.output_text) == (begun.id, "completed", "Hello there")
    assert gpt.responses.retrieve(begun.id).output_text == "Hello there"


def test_error_comes_at_once_also_in_the_background(door: Door, gpt: openai.OpenAI) -> None:
    door.respond(HTTPError(429))

    with pytest.raises(openai.RateLimitError):
        gpt.responses.create(model="gpt-5", input="hi", background=True)
    with pytest.raises(openai.NotFoundError, match="none was made in this test"):
        gpt.responses.retrieve("resp_1")


def test_response_is_streamed_from_an_event_on(door: Door, gpt: openai.OpenAI) -> None:
    door.respond("one two three")
    whole: list[Any] = list(gpt.responses.create(model="gpt-5", input="hi", background=True, stream=True))

    rest = list(map(strict, gpt.responses.retrieve(whole[0].response.id, stream=True, starting_after=5)))

    assert rest == whole[6:]
    assert rest[0].sequence_number == 6


def test_response_is_retrieved_cancelled_and_deleted(door: Door, gpt: openai.OpenAI) -> None:
    door.respond("Hello", times=None)
    plain = gpt.responses.create(model="gpt-5", input="hi", instructions="be brief")
    long = gpt.responses.create(model="gpt-5", input="hi", background=True)

    assert strict(gpt.responses.retrieve(plain.id)) == plain
    with pytest.raises(openai.BadRequestError, match="background=true"):
        gpt.responses.cancel(plain.id)
    assert strict(gpt.responses.cancel(long.id)).status == "cancelled"
    assert gpt.responses.retrieve(long.id).status == "cancelled"
    items = [strict(item) for item in gpt.responses.input_items.list(plain.id, order="asc")]
    assert [(item.role, item.content[0].text) for item in items] == [("system", "be brief"), ("user", "hi")]
    gpt.responses.delete(plain.id)
    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve(plain.id)


def test_response_that_is_not_to_be_stored_cannot_be_retrieved(gpt: openai.OpenAI) -> None:
    unstored = gpt.responses.create(model="gpt-5", input="hi", store=False)

    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve(unstored.id)


def test_conversation_keeps_its_items(gpt: openai.OpenAI) -> None:
    talk = strict(gpt.conversations.create(metadata={"a": "b"}, items=[{"role": "user", "content": "hi"}]))
    answer: Any = {"type": "message", "role": "assistant", "content": "yes"}
    gpt.conversations.items.create(talk.id, items=[answer])

    items = [strict(item) for item in gpt.conversations.items.list(talk.id, order="asc")]

    assert [item.role for item in items] == ["user", "assistant"]
    assert strict(gpt.conversations.items.retrieve(items[0].id, conversation_id=talk.id)) == items[0]
    gpt.conversations.items.delete(items[0].id, conversation_id=talk.id)
    assert len(list(gpt.conversations.items.list(talk.id))) == 1
    assert strict(gpt.conversations.update(talk.id, metadata={})).metadata == {}
    assert strict(gpt.conversations.delete(talk.id)).deleted
    with pytest.raises(openai.NotFoundError):
        gpt.conversations.retrieve(talk.id)


def test_vector_store_finds_the_file_that_shares_words(gpt: openai.OpenAI) -> None:
    files = [
        gpt.files.create(file=(f"{n}.txt", text), purpose="assistants")
        for n, text in enumerate([b"cats sleep all day", b"the moon is far away"])
    ]
    store = strict(gpt.vector_stores.create(name="x", file_ids=[files[0].id]))
    strict(gpt.vector_stores.files.create_and_poll(files[1].id, vector_store_id=store.id))

    found = list(map(strict, gpt.vector_stores.search(store.id, query="how far is the moon?")))

    assert [one.filename for one in found] == ["1.txt", "0.txt"]
    assert strict(gpt.vector_stores.retrieve(store.id)).file_counts.completed == 2
    assert {file.id for file in map(strict, gpt.vector_stores.files.list(store.id))} == {file.id for file in files}
    gpt.vector_stores.files.delete(files[0].id, vector_store_id=store.id)
    batch = strict(gpt.vector_stores.file_batches.create_and_poll(store.id, file_ids=[files[0].id]))
    assert batch.file_counts.total == 1
    assert [one.id for one in gpt.vector_stores.list()] == [store.id]
    assert strict(gpt.vector_stores.delete(store.id)).deleted


# What is not known, and what is wrong.


def test_assistants_are_refused_with_the_reason() -> None:
    with MockStreamSDK() as sdk, openai.OpenAI(api_key="x", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="OpenAI retires them: use responses"):
            client.post("/assistants", body={"model": "m"}, cast_to=object)
        sdk._playbook.unexpected.clear()


IMAGES = "/images/generations"
HEARD = {"model": (None, "whisper-1"), "file": WAV}


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        (IMAGES, {"json": {"prompt": "a", "size": "big"}}, "'size' must be as '1024x1024'"),
        (IMAGES, {"json": {"prompt": "a", "n": 11}}, "'n' must be a whole number, at most 10"),
        (IMAGES, {"json": {"prompt": "a", "output_format": "webp"}}, "only 'png' is made here"),
        (
            "/audio/speech",
            {"json": {"model": "a", "input": "a", "response_format": "opus"}},
            "only 'mp3', 'wav', 'pcm'",
        ),
        ("/files", {"files": {"purpose": (None, "batch")}}, "'file' must be a file"),
        ("/files", {"json": {"purpose": "batch"}}, "must be multipart/form-data, but it is 'application/json'"),
        ("/audio/transcriptions", {"files": {**HEARD, "file": (None, "a")}}, "'file' must be a file"),
        (
            "/audio/transcriptions",
            {"files": {**HEARD, "response_format": (None, "doc")}},
            "give 'json', 'verbose_json'",
        ),
        ("/moderations", {"json": {"input": []}}, "'input' must be text"),
        ("/vector_stores", {"json": {"file_ids": "a"}}, "'file_ids' must be a list"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(path: str, asked: dict[str, Any], said: str) -> None:
    with MockStreamSDK() as sdk:
        reply = httpx2.post(f"https://api.openai.com/v1{path}", **asked)

        assert (reply.status_code, said in reply.json()["error"]["message"]) == (400, True)
        with pytest.raises(AssertionError, match="cannot read it"):
            sdk.verify()
    TypeAdapter(openai.types.ErrorObject).validate_python(reply.json()["error"])
