"""The table of providers and their SDKs: what each cell claims, for the tests that show it and the guide's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pytest_mockstream import Disconnect, ErrorEvent, HTTPError, Malformed, Stall, Truncate

from . import drivers
from .said import Driver

#: Which version of each SDK all cells were last run with, when all passed; ``note.py`` writes it.
SEEN = Path(__file__).parent / "seen.json"

#: What an answer can say, each streamed and whole.
Fact: TypeAlias = Literal["text", "tools", "reasoning", "usage"]
FACTS: tuple[Fact, ...] = ("text", "tools", "reasoning", "usage")

#: fault -> the script that has it; what was read before it is "one ".
FAULTS: Mapping[str, tuple[Any, ...]] = {
    "overload": (HTTPError(429),),
    "error in the stream": ("one ", ErrorEvent("boom")),
    "garbage": ("one ", Malformed()),
    "reset": ("one ", Disconnect()),
    "silence": ("one ", Stall()),
    "cut off": ("one ", Truncate()),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One provider, asked by one SDK.

    Attributes:
        name: for the tests' ids.
        provider: its title.
        sdk: what pip installs.
        api: which of the SDK's APIs, or of its clients.
        driver: asks it.
        faults: what becomes of each fault: the exception, or what the SDK takes for the whole answer.
        lacks: what its format cannot say: a script that says so fails its test.
        spoken: whose dialect the door is told to speak, where no host says it.
        awaited: whether its calls are awaited, so that they can be cancelled.
        since: the oldest version of the SDK for which faults and early closing are claimed; empty for all.
    """

    name: str
    provider: str
    sdk: str
    api: str
    driver: Driver
    faults: Mapping[str, str]
    lacks: frozenset[Fact] = frozenset()
    spoken: str | None = None
    awaited: bool = True
    since: str = ""

    @property
    def module(self) -> str:
        """What it is imported as."""
        return {"google-genai": "google.genai"}.get(self.sdk, self.sdk)


#: What an SDK makes of a fault where it raises nothing.
TAKEN_FOR_WHOLE = "taken for whole"
SAID_SO = "an event says so"


def _faults(overload: str, error: str, garbage: str, reset: str, silence: str) -> dict[str, str]:
    """Return what becomes of each fault; a clean end in mid-stream is taken for the whole answer by all of them."""
    return dict(zip(FAULTS, (overload, error, garbage, reset, silence, TAKEN_FOR_WHOLE), strict=True))


_JSON = "json.JSONDecodeError"
_OPENAI = _faults(
    "openai.RateLimitError", "openai.APIError", _JSON, "openai.APIConnectionError", "openai.APITimeoutError"
)
_ANTHROPIC = _faults(
    "anthropic.RateLimitError", "anthropic.APIStatusError", _JSON, "httpx2.ReadError", "httpx2.ReadTimeout"
)
_GOOGLE = _faults(
    "google.ClientError",
    "google.ServerError",
    "google.UnknownApiResponseError",
    "aiohttp.ClientPayloadError",
    "builtins.TimeoutError",
)
_THROTTLED, _IN_STREAM, _CHECKSUM = (
    "botocore.ThrottlingException",
    "botocore.EventStreamError",
    "botocore.ChecksumMismatch",
)

ROWS: tuple[Row, ...] = (
    Row(
        name="openai-chat",
        provider="OpenAI",
        sdk="openai",
        api="chat",
        driver=drivers.chat("openai", None, model="gpt-5"),
        faults=_OPENAI,
        since="3.14",
    ),
    Row(
        name="openai-responses",
        provider="OpenAI",
        sdk="openai",
        api="Responses",
        driver=drivers.responses,
        faults=_OPENAI | {"error in the stream": SAID_SO},
        since="3.14",
    ),
    Row(
        name="openai-legacy",
        provider="OpenAI",
        sdk="openai",
        api="legacy completions",
        driver=drivers.legacy,
        faults=_OPENAI,
        lacks=frozenset(("tools", "reasoning")),
        since="3.14",
    ),
    Row(
        name="anthropic",
        provider="Anthropic",
        sdk="anthropic",
        api="Messages",
        driver=drivers.anthropic,
        faults=_ANTHROPIC,
    ),
    Row(
        name="gemini",
        provider="Gemini",
        sdk="google-genai",
        api="generateContent",
        driver=drivers.gemini,
        faults=_GOOGLE,
    ),
    Row(
        name="ollama",
        provider="Ollama",
        sdk="ollama",
        api="chat",
        driver=drivers.ollama,
        faults=_faults("ollama.ResponseError", "ollama.ResponseError", _JSON, "httpx.ReadError", "httpx.ReadTimeout"),
    ),
    Row(
        name="mistral",
        provider="Mistral",
        sdk="mistralai",
        api="chat",
        driver=drivers.mistral,
        faults=_faults(
            "mistralai.SDKError",
            "mistralai.ResponseValidationError",
            "mistralai.ResponseValidationError",
            "httpx2.ReadError",
            "httpx2.ReadTimeout",
        ),
        since="3",
    ),
    Row(
        name="cohere",
        provider="Cohere",
        sdk="cohere",
        api="v2 chat",
        driver=drivers.cohere,
        faults=_faults("cohere.TooManyRequestsError", SAID_SO, TAKEN_FOR_WHOLE, "httpx.ReadError", "httpx.ReadTimeout"),
        since="7",
    ),
    Row(
        name="groq",
        provider="Groq",
        sdk="groq",
        api="chat",
        driver=drivers.groq,
        faults=_faults("groq.RateLimitError", "groq.APIError", _JSON, "httpx.ReadError", "httpx.ReadTimeout"),
    ),
    Row(
        name="huggingface",
        provider="Hugging Face",
        sdk="huggingface_hub",
        api="InferenceClient",
        driver=drivers.huggingface,
        faults=_faults(
            "huggingface_hub.HfHubHTTPError",
            "huggingface_hub.GenerationError",
            _JSON,
            "httpx2.ReadError",
            "httpx2.ReadTimeout",
        ),
        since="2",
    ),
    Row(
        name="bedrock-boto3",
        provider="Bedrock",
        sdk="boto3",
        api="Converse",
        driver=drivers.boto3,
        faults=_faults(_THROTTLED, _IN_STREAM, _CHECKSUM, "urllib3.ProtocolError", "urllib3.ReadTimeoutError"),
        awaited=False,
    ),
    Row(
        name="bedrock-aioboto3",
        provider="Bedrock",
        sdk="aioboto3",
        api="Converse",
        driver=drivers.aioboto3,
        faults=_faults(_THROTTLED, _IN_STREAM, _CHECKSUM, "aiohttp.ClientPayloadError", "aiohttp.SocketTimeoutError"),
    ),
    Row(
        name="bedrock-anthropic",
        provider="Bedrock",
        sdk="anthropic",
        api="AnthropicBedrock",
        driver=drivers.anthropic_bedrock,
        faults=_ANTHROPIC | {"garbage": _CHECKSUM},
    ),
    Row(
        name="vertex-anthropic",
        provider="Vertex AI",
        sdk="anthropic",
        api="AnthropicVertex",
        driver=drivers.anthropic_vertex,
        faults=_ANTHROPIC,
    ),
    Row(
        name="vertex-gemini",
        provider="Vertex AI",
        sdk="google-genai",
        api="vertexai=True",
        driver=drivers.gemini_vertex,
        faults=_GOOGLE,
    ),
    *(
        Row(
            name=provider,
            provider=title,
            sdk="openai",
            api="AzureOpenAI" if provider == "azure" else "chat",
            driver=driver,
            faults=_OPENAI,
            spoken=provider if provider in ("vllm", "llama.cpp") else None,
            since="3.14",
        )
        for provider, title, driver in (
            ("azure", "Azure OpenAI", drivers.chat("azure", "https://mine.openai.azure.com", azure=True)),
            (
                "openrouter",
                "OpenRouter",
                drivers.openrouter,
            ),
            ("deepseek", "DeepSeek", drivers.chat("deepseek", "https://api.deepseek.com")),
            ("together", "Together", drivers.chat("together", "https://api.together.xyz/v1", thought="reasoning")),
            ("fireworks", "Fireworks", drivers.chat("fireworks", "https://api.fireworks.ai/inference/v1")),
            ("perplexity", "Perplexity", drivers.perplexity),
            ("xai", "xAI", drivers.chat("xai", "https://api.x.ai/v1")),
            ("vllm", "vLLM", drivers.chat("vllm", "https://vllm.example.com/v1", thought="reasoning")),
            ("llama.cpp", "llama.cpp", drivers.chat("llama.cpp", "https://llama.example.com/v1")),
        )
    ),
)
