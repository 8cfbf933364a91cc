"""The SDKs that the doctor knows how to ask with, and those that are built on others.

None is named in an import: modules come in as values, and what is not installed is not missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_MESSAGES = [{"role": "user", "content": "hi"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """One SDK.

    Attributes:
        distribution: as it is installed.
        module: as it is imported.
        variable: of the environment, that leads it to a server.
        ask: takes the module, asks for a stream and returns its text.
    """

    distribution: str
    module: str
    variable: str
    ask: Callable[[Any], str]


def _openai(module: Any) -> str:
    with module.OpenAI(max_retries=0) as client:
        stream = client.chat.completions.create(model="m", messages=_MESSAGES, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def _anthropic(module: Any) -> str:
    with module.Anthropic(max_retries=0) as client:
        stream = client.messages.create(model="m", max_tokens=9, messages=_MESSAGES, stream=True)
        return "".join(event.delta.text for event in stream if event.type == "content_block_delta")


def _google(module: Any) -> str:
    with module.Client() as client:
        stream = client.models.generate_content_stream(model="m", contents="hi")
        return "".join(chunk.text or "" for chunk in stream)


def _ollama(module: Any) -> str:
    parts = module.Client().chat(model="m", messages=_MESSAGES, stream=True)
    return "".join(part["message"]["content"] or "" for part in parts)


SDKS = (
    Sdk(distribution="openai", module="openai", variable="OPENAI_BASE_URL", ask=_openai),
    Sdk(distribution="anthropic", module="anthropic", variable="ANTHROPIC_BASE_URL", ask=_anthropic),
    Sdk(distribution="google-genai", module="google.genai", variable="GOOGLE_GEMINI_BASE_URL", ask=_google),
    Sdk(distribution="ollama", module="ollama", variable="OLLAMA_HOST", ask=_ollama),
)

#: Too slow to import for a quick look: their requirements tell what they send with.
BUILT_ON_OTHERS = (
    "litellm",
    "langchain-openai",
    "langchain-anthropic",
    "langchain-google-genai",
    "langchain-ollama",
    "langchain-core",
    "pydantic-ai-slim",
    "openai-agents",
    "llama-index-llms-openai",
    "llama-index-llms-anthropic",
    "instructor",
    "dspy",
    "crewai",
    "smolagents",
    "groq",
    "mistralai",
    "cohere",
    "together",
    "huggingface-hub",
    "boto3",
    "google-generativeai",
)
