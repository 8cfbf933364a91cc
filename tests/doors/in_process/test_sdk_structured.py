"""Structured output and tools that are called: what the real SDKs ask for is found, checked and made."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest
from pydantic import BaseModel

from pytest_mockstream import CallTools, FromSchema, Json, MockStreamSDK, ScriptError


class City(BaseModel):
    name: str
    population: int
    twin: str | None = None


CITY = City(name="Oslo", population=717_710)
MESSAGES: Any = [{"role": "user", "content": "Oslo?"}]


def _openai_chat() -> Any:
    openai: Any = pytest.importorskip("openai")
    with openai.OpenAI() as client:
        reply = client.chat.completions.parse(model="m", messages=MESSAGES, response_format=City)
        return reply.choices[0].message.parsed


def _openai_responses() -> Any:
    openai: Any = pytest.importorskip("openai")
    with openai.OpenAI() as client:
        return client.responses.parse(model="m", input="Oslo?", text_format=City).output_parsed


def _anthropic() -> Any:
    anthropic: Any = pytest.importorskip("anthropic")
    with anthropic.Anthropic() as client:
        reply = client.messages.parse(model="m", max_tokens=9, messages=MESSAGES, output_format=City)
        return reply.parsed_output


def _anthropic_tool() -> Any:
    anthropic: Any = pytest.importorskip("anthropic")
    tool: Any = {"name": "show", "input_schema": City.model_json_schema()}
    with anthropic.Anthropic() as client:
        reply = client.messages.create(
            model="m", max_tokens=9, messages=MESSAGES, tools=[tool], tool_choice={"type": "tool", "name": "show"}
        )
        return City.model_validate(reply.content[0].input)


def _gemini() -> Any:
    genai: Any = pytest.importorskip("google.genai")
    with genai.Client() as client:
        config = {"response_mime_type": "application/json", "response_schema": City}
        return client.models.generate_content(model="m", contents="Oslo?", config=config).parsed


def _ollama() -> Any:
    ollama: Any = pytest.importorskip("ollama")
    with ollama.Client() as client:
        reply = client.chat(model="m", messages=MESSAGES, format=City.model_json_schema())
        return City.model_validate_json(reply.message.content)


def _mistral() -> Any:
    mistral: Any = pytest.importorskip("mistralai.client")
    with mistral.Mistral(api_key="none") as client:
        reply = client.chat.parse(model="m", messages=MESSAGES, response_format=City)
        return reply.choices[0].message.parsed


def _groq() -> Any:
    groq: Any = pytest.importorskip("groq")
    with groq.Groq(api_key="none") as client:
        wanted: Any = {"type": "json_schema", "json_schema": {"name": "City", "schema": City.model_json_schema()}}
        reply = client.chat.completions.create(model="m", messages=MESSAGES, response_format=wanted)
        return City.model_validate_json(reply.choices[0].message.content or "")


def _langchain(method: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        langchain: Any = pytest.importorskip("langchain_openai")
        return langchain.ChatOpenAI(model="gpt-5").with_structured_output(City, method=method).invoke("Oslo?")


def _pydantic_ai() -> Any:
    pydantic_ai: Any = pytest.importorskip("pydantic_ai")
    return asyncio.run(pydantic_ai.Agent("openai-chat:gpt-5", output_type=City).run("Oslo?")).output


ASKED = {
    "openai chat": _openai_chat,
    "openai responses": _openai_responses,
    "anthropic": _anthropic,
    "anthropic, tool": _anthropic_tool,
    "google-genai": _gemini,
    "ollama": _ollama,
    "mistralai": _mistral,
    "groq": _groq,
    "langchain, schema": lambda: _langchain("json_schema"),
    "langchain, tool": lambda: _langchain("function_calling"),
    "pydantic-ai": _pydantic_ai,
}


#: Those that show each way to ask; the others repeat them.
_FIRST = ("openai chat", "anthropic, tool", "google-genai", "pydantic-ai")
_each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in _FIRST else pytest.mark.slow) for name in ASKED]
)


@_each
def test_json_comes_out_as_the_object_that_was_asked_for(mock_stream_sdk: MockStreamSDK, name: str) -> None:
    mock_stream_sdk.respond(Json(CITY))

    assert ASKED[name]() == CITY
    assert mock_stream_sdk.requests[0].schema is not None


@_each
def test_a_value_is_made_that_every_sdk_takes(mock_stream_sdk: MockStreamSDK, name: str) -> None:
    mock_stream_sdk.respond(FromSchema())

    assert isinstance(ASKED[name](), City)


@pytest.mark.parametrize("name", ["openai chat", "anthropic, tool", "google-genai"])
def test_json_that_does_not_fit_fails_the_test_whatever_the_sdk_makes_of_it(name: str) -> None:
    with MockStreamSDK() as sdk:
        sdk.respond(Json({"name": "Oslo", "population": "many", "twin": None}), times=None)

        with pytest.raises(Exception, match="pytest-mockstream: Script"):
            ASKED[name]()

        with pytest.raises(ScriptError, match=r"\$\.population: 'many' is not of type 'integer'"):
            sdk.verify()


def test_an_agent_of_pydantic_ai_has_all_its_tools_called(mock_stream_sdk: MockStreamSDK) -> None:
    pydantic_ai: Any = pytest.importorskip("pydantic_ai")
    agent = pydantic_ai.Agent("openai-chat:gpt-5", output_type=City)
    called: list[str] = []

    @agent.tool_plain  # type: ignore[untyped-decorator] # the library may not be there
    def weather(city: str, days: int) -> str:
        called.append(f"weather {type(city).__name__} {type(days).__name__}")
        return "cold"

    @agent.tool_plain  # type: ignore[untyped-decorator] # the library may not be there
    def clock() -> str:
        called.append("clock")
        return "noon"

    mock_stream_sdk.respond(CallTools())

    assert isinstance(asyncio.run(agent.run("Oslo?")).output, City)
    assert sorted(called) == ["clock", "weather str int"]


def test_the_tool_runner_of_anthropic_has_all_its_tools_called(mock_stream_sdk: MockStreamSDK) -> None:
    anthropic: Any = pytest.importorskip("anthropic")
    called: list[str] = []

    @anthropic.beta_tool  # type: ignore[untyped-decorator] # the library may not be there
    def weather(city: str) -> str:
        """Tell the weather.

        Args:
            city: where.
        """
        called.append(city)
        return "cold"

    mock_stream_sdk.respond(CallTools())
    with anthropic.Anthropic() as client:
        runner = client.beta.messages.tool_runner(model="m", max_tokens=9, messages=MESSAGES, tools=[weather])
        last = runner.until_done()

    assert len(called) == 1
    assert last.content[0].text == "The tools gave: cold"
