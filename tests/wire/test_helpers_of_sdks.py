"""The SDKs' helpers that do more than read: parsed output, tool runners, automatic function calling."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from anthropic import beta_tool
from door import HELLO, Door
from google.genai import types
from pydantic import BaseModel

from pytest_mockstream import Script, ToolCall
from pytest_mockstream.playbook.queued import Condition


class City(BaseModel):
    """What the model is asked to fill in."""

    name: str
    size: int


def chat_parse(door: Door) -> object:
    return (
        door.openai().chat.completions.parse(model="m", messages=HELLO, response_format=City).choices[0].message.parsed
    )


def chat_stream(door: Door) -> object:
    with door.openai().chat.completions.stream(model="m", messages=HELLO, response_format=City) as stream:
        return stream.get_final_completion().choices[0].message.parsed


def responses_parse(door: Door) -> object:
    return door.openai().responses.parse(model="m", input="hi", text_format=City).output_parsed


def responses_stream(door: Door) -> object:
    with door.openai().responses.stream(model="m", input="hi", text_format=City) as stream:
        return stream.get_final_response().output_parsed


def messages_parse(door: Door) -> object:
    return door.anthropic().messages.parse(model="m", max_tokens=9, messages=HELLO, output_format=City).parsed_output


def messages_stream(door: Door) -> object:
    with door.anthropic().messages.stream(model="m", max_tokens=9, messages=HELLO, output_format=City) as stream:
        return stream.get_final_message().parsed_output


def gemini_schema(door: Door) -> object:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=City)
    return door.gemini().models.generate_content(model="m", contents="hi", config=config).parsed


def ollama_format(door: Door) -> object:
    reply = door.ollama().chat("m", HELLO, format=City.model_json_schema())
    return City.model_validate_json(reply.message.content or "")


@pytest.mark.parametrize(
    "ask",
    [
        chat_parse,
        chat_stream,
        responses_parse,
        responses_stream,
        messages_parse,
        messages_stream,
        gemini_schema,
        ollama_format,
    ],
)
def test_structured_output_is_parsed(ask: Callable[[Door], object]) -> None:
    assert ask(Door(Script('{"name": "Paris", "size": 2}', fragment=5))) == City(name="Paris", size=2)


def _agent() -> Door:
    door = Door()
    door.playbook.queue(Script("Let me see.", ToolCall("weather", {"city": "Paris"})), Condition(turn=1))
    door.playbook.queue(Script("It is sunny."), Condition(tool_result_contains="sunny in Paris"))
    return door


def test_tool_runner_of_anthropic_runs_the_tool_and_reads_on() -> None:
    @beta_tool
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    door = _agent()
    runner = door.anthropic().beta.messages.tool_runner(
        model="m", max_tokens=9, messages=HELLO, tools=[weather], stream=True
    )

    replies = [stream.get_final_message().content[0] for stream in runner]

    assert [reply.text for reply in replies if reply.type == "text"] == ["Let me see.", "It is sunny."]
    door.playbook.verify()


def test_function_calling_of_gemini_runs_the_function_and_reads_on() -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    door = _agent()
    chat = door.gemini().chats.create(model="m", config=types.GenerateContentConfig(tools=[weather]))

    reply = chat.send_message("hi")

    assert reply.text == "It is sunny."
    door.playbook.verify()
