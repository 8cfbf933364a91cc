"""What is sent to Bedrock is recorded without loss, whichever API it is sent by; what is not spoken is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from aws_models import messages as messages_of
from door import Door

from pytest_mockstream import Reasoning, Script, ScriptError, ToolCall, UnexpectedRequestError, Usage
from pytest_mockstream.playbook.queued import Condition

CACHE = {"cachePoint": {"type": "default"}}
IMAGE = {"image": {"format": "png", "source": {"bytes": "aaaa"}}}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2lnbmVk"}}}
USE = {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Paris"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
SPEC = {"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}
TALK: dict[str, Any] = {
    "system": [{"text": "be brief"}, CACHE],
    "messages": [
        {"role": "user", "content": [{"text": "how is Paris"}]},
        {"role": "assistant", "content": [THOUGHT, {"text": "so"}, USE]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "sunny"}]}}]},
    ],
    "toolConfig": {"tools": [SPEC, CACHE], "toolChoice": {"auto": {}}},
    "inferenceConfig": {"temperature": 0.5},
    "additionalModelRequestFields": {"thinking": {"type": "enabled"}},
}
HI = [{"role": "user", "content": [{"text": "hi"}]}]
INVOKE = "/model/{}/invoke"
ON = "-with-response-stream"


def test_conversation_of_converse_is_recorded_without_loss() -> None:
    door = Door()

    door.post("/model/m/converse", TALK)

    request = door.request
    assert (request.provider, request.model, request.text, request.streaming) == ("bedrock", "m", "how is Paris", False)
    assert request.messages == [
        {"role": "system", "content": TALK["system"]},
        {"role": "user", "content": [{"text": "how is Paris"}]},
        {"role": "assistant", "content": [THOUGHT, {"text": "so"}], "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert (request.tools, request.tool_names, request.tool_results) == ([SPEC, CACHE], ["weather"], ["sunny"])
    assert request.params == {
        "toolConfig": {"toolChoice": {"auto": {}}},
        "inferenceConfig": {"temperature": 0.5},
        "additionalModelRequestFields": {"thinking": {"type": "enabled"}},
    }
    assert request.turn == 2
    assert request.body == TALK


@pytest.mark.parametrize(
    ("content", "recorded", "text"),
    [
        ([{"text": "rain "}, {"text": "again"}], "rain again", "rain again"),
        ([{"json": {"sky": "grüy"}}], '{"sky": "grüy"}', '{"sky": "grüy"}'),
        ([{"text": "rain"}, IMAGE], [{"text": "rain"}, IMAGE], "rain"),
        ([], "", ""),
    ],
)
def test_result_of_a_tool_is_kept(content: Any, recorded: Any, text: str) -> None:
    door = Door()
    result = {"toolResult": {"toolUseId": "c1", "content": content, "status": "error"}}

    door.post("/model/m/converse", {"messages": [{"role": "user", "content": [result, {"text": "and?"}]}]})

    tool, user = door.request.messages
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": recorded, "status": "error"}
    assert user == {"role": "user", "content": [{"text": "and?"}]}
    assert door.request.tool_results == [text]


def test_script_is_chosen_by_turn_tool_and_tool_result() -> None:
    door = Door()
    for number, condition in enumerate(
        [Condition(turn=1), Condition(tool="other"), Condition(turn=2, tool="weather", tool_result_contains="sunny")]
    ):
        door.playbook.queue(Script(f"script {number}"), condition)

    body = door.body("/model/m/converse", TALK)

    assert b"script 2" in body


@pytest.mark.parametrize("prefix", ["", "/gateway/v1"])
@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-3-haiku-20240307-v1:0",
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
        "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3d4e5f6",
    ],
)
@pytest.mark.parametrize("call", ["converse", "converse-stream", "invoke", f"invoke{ON}"])
def test_model_is_named_by_id_profile_or_arn(model: str, call: str, prefix: str) -> None:
    from urllib.parse import quote

    for path in {quote(model, safe=""), quote(model, safe=":/"), quote(model, safe=":")}:
        door = Door()
        body = {"messages": HI} if call.startswith("converse") else {"anthropic_version": "x", "messages": HI}

        answered = door.post(f"{prefix}/model/{path}/{call}", body)

        assert (answered.status, door.request.model) == (200, model)
        assert door.request.streaming == call.endswith("stream")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/model/m/converse", {}, "'messages' must be a list of objects, but it is missing"),
        ("/model/m/converse", {"messages": []}, "'messages' must not be empty"),
        ("/model/m/converse", {"messages": [{"role": "user", "content": "hi"}]}, "'content' must be a list of objects"),
        ("/model/m/converse", {"messages": HI, "stream": True}, "there is no field 'stream': the path says it"),
        ("/model/m/converse", {"messages": HI, "modelId": "m"}, "there is no field 'modelId': the path says it"),
        ("/model/m/converse", {"messages": HI, "system": "be brief"}, "'system' must be a list of objects"),
        ("/model/m/converse", {"messages": [{"content": [{"toolUse": 1}]}]}, "of a type that no SDK sends"),
        (INVOKE.format("anthropic.claude"), {"messages": HI}, "'anthropic_version' must be text and not empty"),
        (
            INVOKE.format("anthropic.claude"),
            {"anthropic_version": "x", "messages": HI, "stream": True},
            "there is no field 'stream': the path says it",
        ),
        (
            INVOKE.format("anthropic.claude"),
            {"anthropic_version": "x", "messages": HI, "model": "m"},
            "there is no field 'model': the path says it",
        ),
        (INVOKE.format("meta.llama3-8b-instruct-v1:0"), {}, "'prompt' must be text and not empty, but it is missing"),
        (INVOKE.format("mistral.mistral-large-2407-v1:0"), {"messages": HI}, "'prompt' must be text and not empty"),
        (INVOKE.format("amazon.titan-text-express-v1"), {"inputText": "", "x": 1}, "'inputText' must be text"),
        (INVOKE.format("ai21.jamba-1-5-large-v1:0"), {"messages": HI}, "the requests of 'ai21.jamba-1-5-large-v1:0'"),
        (INVOKE.format("amazon.nova-canvas-v1:0"), {"taskType": "x"}, "Converse and ConverseStream are the same"),
        (INVOKE.format("stability.sd3-large-v1:0") + ON, {"prompt": "x"}, "are not spoken here"),
        ("/model/m/count-tokens", {}, "'input' must be an object with either 'converse' or 'invokeModel'"),
        ("/model/m/count-tokens", {"input": {"converse": {}, "invokeModel": {}}}, "either 'converse' or 'invokeModel'"),
        (
            "/model/m/count-tokens",
            {"input": {"invokeModel": {"body": "{}"}}},
            "the body of a request in base64",
        ),
    ],
)
def test_request_that_makes_no_sense_is_refused_and_said(path: str, body: Any, said: str) -> None:
    door = Door()

    answered = door.post(path, body)

    assert answered.status == 400
    assert answered.headers["x-amzn-errortype"] == "ValidationException"
    with pytest.raises(UnexpectedRequestError) as caught:
        door.playbook.verify()
    assert said in str(caught.value)


def test_path_that_is_asked_by_get_is_refused() -> None:
    answered = Door().ask("GET", "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse")

    assert answered.status == 405


def test_unknown_path_of_bedrock_lists_what_is_known_of_it() -> None:
    door = Door()

    answered = door.ask("POST", "https://bedrock-runtime.eu-west-1.amazonaws.com/guardrail/g/version/1/apply", {}, {})

    assert (answered.status, answered.headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")
    with pytest.raises(UnexpectedRequestError, match=r"Known of bedrock: POST …/model/M/invoke and"):
        door.playbook.verify()


@pytest.mark.parametrize(
    "asked",
    [
        {"converse": {"messages": [{"role": "user", "content": [{"text": "one two three"}]}]}},
        {"invokeModel": {"body": base64.b64encode(b'{"anthropic_version":"x","messages":"one two three"}').decode()}},
    ],
)
def test_tokens_are_counted(asked: Any) -> None:
    assert json.loads(Door().body("/model/m/count-tokens", {"input": asked})) == {"inputTokens": 3}


# Models that say text only.

USAGE = Usage(prompt_tokens=2, completion_tokens=3)
METRICS = {"inputTokenCount": 2, "outputTokenCount": 3, "invocationLatency": 1, "firstByteLatency": 1}
TEXT_MODELS: dict[str, tuple[dict[str, Any], list[Any], Any]] = {
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html
    "amazon.titan-text-express-v1": (
        {"inputText": "hi", "textGenerationConfig": {"temperature": 0.5}},
        [
            {
                "outputText": text,
                "index": 0,
                "totalOutputTextTokenCount": said and 3,
                "completionReason": said,
                "inputTextTokenCount": said and 2,
            }
            for text, said in (("one ", None), ("two", None), ("", "FINISH"))
        ],
        {
            "inputTextTokenCount": 2,
            "results": [{"tokenCount": 3, "outputText": "one two", "completionReason": "FINISH"}],
        },
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html
    "us.meta.llama3-3-70b-instruct-v1:0": (
        {"prompt": "hi", "temperature": 0.5},
        [
            {
                "generation": text,
                "prompt_token_count": said and 2,
                "generation_token_count": said and 3,
                "stop_reason": said,
            }
            for text, said in (("one ", None), ("two", None), ("", "stop"))
        ],
        {"generation": "one two", "prompt_token_count": 2, "generation_token_count": 3, "stop_reason": "stop"},
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-text-completion.html
    "mistral.mistral-7b-instruct-v0:2": (
        {"prompt": "hi", "temperature": 0.5},
        [
            {"outputs": [{"text": text, "stop_reason": said}]}
            for text, said in (("one ", None), ("two", None), ("", "stop"))
        ],
        {"outputs": [{"text": "one two", "stop_reason": "stop"}]},
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html
    "cohere.command-r-plus-v1:0": (
        {
            "message": "hi",
            "temperature": 0.5,
            "preamble": "be brief",
            "chat_history": [{"role": "USER", "message": "before"}, {"role": "CHATBOT", "message": "yes"}],
        },
        [
            {"is_finished": False, "event_type": "text-generation", "text": "one "},
            {"is_finished": False, "event_type": "text-generation", "text": "two"},
            {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE"},
        ],
        {
            "text": "one two",
            "finish_reason": "COMPLETE",
            "chat_history": [],
            "response_id": "response-1",
            "generation_id": "response-1",
        },
    ),
}


@pytest.mark.parametrize("model", TEXT_MODELS)
def test_model_that_says_text_only_is_asked_and_answers_in_its_own_way(model: str) -> None:
    body, chunks, whole = TEXT_MODELS[model]
    door = Door(Script("one two", usage=USAGE, times=2))

    streamed = messages_of(door.body(INVOKE.format(model) + ON, body))
    asked = json.loads(Door(Script("one two", usage=USAGE)).body(INVOKE.format(model), body))

    said = [json.loads(base64.b64decode(one.said["bytes"])) for one in streamed]
    assert said[-1].pop("amazon-bedrock-invocationMetrics") == METRICS
    assert said == chunks
    assert asked == whole
    request = door.request
    assert (request.text, request.model, request.streaming) == ("hi", model, True)
    assert 0.5 in (request.params.get("temperature"), request.params.get("textGenerationConfig", {}).get("temperature"))


def test_conversation_of_command_r_is_recorded_without_loss() -> None:
    door = Door()

    door.post(INVOKE.format("cohere.command-r-v1:0"), TEXT_MODELS["cohere.command-r-plus-v1:0"][0])

    assert [(message["role"], message["content"]) for message in door.request.messages] == [
        ("system", "be brief"),
        ("user", "before"),
        ("assistant", "yes"),
        ("user", "hi"),
    ]


@pytest.mark.parametrize("step", [ToolCall("a"), Reasoning("hm")])
@pytest.mark.parametrize("model", TEXT_MODELS)
def test_model_that_says_text_only_says_no_more(model: str, step: Any) -> None:
    door = Door(Script(step))

    answered = door.post(INVOKE.format(model), TEXT_MODELS[model][0])

    assert answered.status == 400
    said = rf"it has no place for {type(step).__name__}\(.*\): its models say text only. Converse can say it"
    with pytest.raises(ScriptError, match=said):
        door.playbook.verify()
