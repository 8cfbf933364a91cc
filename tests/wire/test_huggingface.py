"""Hugging Face besides chats, read by its own client: text generation as TGI has it, and the look-up of providers."""

from __future__ import annotations

import json
from typing import Any

import huggingface_hub
import pytest
from decoders import decode_sse
from door import Door, frames
from huggingface_hub import TextGenerationOutput, TextGenerationStreamOutput
from huggingface_hub.errors import GenerationError, ValidationError

from pytest_mockstream import (
    ErrorEvent,
    HTTPError,
    MockStreamSDK,
    Reasoning,
    Script,
    ScriptError,
    UnexpectedRequestError,
    Usage,
)

ENDPOINT = "https://x.endpoints.huggingface.cloud"


def client(**options: Any) -> huggingface_hub.InferenceClient:
    return huggingface_hub.InferenceClient(api_key="hf_x", **options)


def test_text_is_generated_streamed_and_whole() -> None:
    with MockStreamSDK() as sdk:
        sdk.respond("so it is", times=None)
        endpoint = client(model=ENDPOINT)

        assert endpoint.text_generation("Say it: ") == "so it is"
        assert endpoint.text_generation("Say it: ", return_full_text=True) == "Say it: so it is"
        assert "".join(endpoint.text_generation("Say it: ", stream=True)) == "so it is</s>"

        assert sdk.requests[0].text == "Say it: "
        assert {request.provider for request in sdk.requests} == {"huggingface"}


def test_details_of_a_text_are_told() -> None:
    with MockStreamSDK() as sdk:
        sdk.respond("so it is", usage=Usage(prompt_tokens=7, completion_tokens=5), finish_reason="length", times=None)
        endpoint = client(model=ENDPOINT)

        details = endpoint.text_generation("hi", details=True).details
        *tokens, last = endpoint.text_generation("hi", details=True, stream=True)

    assert details is not None
    assert (details.finish_reason, details.generated_tokens) == ("length", 5)
    assert [token.text for token in details.tokens] == [token.token.text for token in tokens] == ["so ", "it ", "is"]
    assert last.details is not None
    assert (last.details.input_length, last.generated_text, last.token.special) == (7, "so it is", True)


@pytest.mark.parametrize(
    ("path", "stream"),
    [("/generate", False), ("/generate_stream", True), ("/models/a/b", False), ("/models/a/b", True)],
)
def test_each_path_of_tgi_is_answered(path: str, stream: bool) -> None:
    door = Door(Script("so it is"))
    asked = {
        "inputs": "hi",
        "parameters": {"details": True},
        **({"stream": True} if "models" in path and stream else {}),
    }

    body = door.body(path, asked)

    if stream:
        told = [json.loads(event.data) for event in decode_sse(body)]
        parsed = [TextGenerationStreamOutput.parse_obj_as_instance(one) for one in told]
        assert [one.index for one in parsed] == [1, 2, 3, 4]
        return
    reply = json.loads(body)
    assert isinstance(reply, list) is ("models" in path)
    assert TextGenerationOutput.parse_obj_as_instance(reply[0] if "models" in path else reply).generated_text
    assert door.request.model == ("a/b" if "models" in path else None)


def test_errors_are_those_of_tgi() -> None:
    with MockStreamSDK() as sdk:
        endpoint = client(model=ENDPOINT)
        sdk.respond("so ", ErrorEvent("out of memory", type="generation"))
        sdk.respond(HTTPError(422, message="too long"))

        with pytest.raises(GenerationError, match="out of memory"):
            list(endpoint.text_generation("hi", stream=True))
        with pytest.raises(ValidationError, match="too long"):
            endpoint.text_generation("hi")


def test_generated_text_is_nothing_but_text() -> None:
    door = Door(Script(Reasoning("hm"), "so"))

    assert door.post("/generate", {"inputs": "hi"}).status == 400
    with pytest.raises(ScriptError, match="Hugging Face text generation cannot express"):
        door.playbook.verify()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "'inputs' must be text and not empty, but it is missing"),
        ({"inputs": "hi", "parameters": 3}, "'parameters' must be an object"),
        ({"inputs": "hi", "parameters": {"details": "yes"}}, "'details' must be true or false, but it is 'yes'"),
    ],
)
def test_request_that_makes_no_sense_is_refused(body: Any, said: str) -> None:
    door = Door()

    assert door.post("/generate", body).status == 400
    with pytest.raises(UnexpectedRequestError, match=said):
        door.playbook.verify()


def test_root_of_a_host_is_unknown_for_other_methods() -> None:
    door = Door()

    assert door.ask("GET", "https://example.com/").status == 404


@pytest.mark.parametrize("provider", ["together", "hf-inference", "groq"])
def test_look_up_of_who_serves_a_model_is_answered(provider: Any) -> None:
    with MockStreamSDK() as sdk:
        sdk.respond("Paris.")
        inference = client(provider=provider)
        messages: Any = [{"role": "user", "content": "hi"}]

        stream: Any = inference.chat_completion(messages, model=f"meta/{provider}", stream=True)
        said = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)

    assert said == "Paris."


def test_models_of_openai_are_listed_as_before() -> None:
    body = b"".join(frames(Door().answer("GET", "https://api.openai.com/v1/models/gpt")))

    assert json.loads(body)["object"] == "model"
