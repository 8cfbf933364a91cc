"""The providers: their hosts, and the environment variables that lead to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

#: Hosts with the provider they belong to; ``*`` stands for any part of a name. The first that fits counts.
HOSTS: dict[str, str] = {
    "api.openai.com": "openai",
    "*.api.openai.com": "openai",  # one for each region: https://platform.openai.com/docs/guides/your-data
    "*.openai.azure.com": "azure",
    "*.cognitiveservices.azure.com": "azure",
    "*.services.ai.azure.com": "azure",
    "*.models.ai.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "aiplatform.googleapis.com": "vertex",
    "*-aiplatform.googleapis.com": "vertex",
    "aiplatform.*.rep.googleapis.com": "vertex",
    "*aiplatform.mtls.googleapis.com": "vertex",
    # https://docs.aws.amazon.com/general/latest/gr/bedrock.html
    "bedrock-runtime.*.amazonaws.com": "bedrock",
    "bedrock-runtime-fips.*.amazonaws.com": "bedrock",
    "bedrock-runtime.*.api.aws": "bedrock",
    "bedrock-runtime-fips.*.api.aws": "bedrock",
    "bedrock.*.amazonaws.com": "bedrock",
    "bedrock-runtime.*.amazonaws.com.cn": "bedrock",
    "bedrock-agent-runtime.*.amazonaws.com": "bedrock",
    "bedrock-mantle.*.api.aws": "bedrock",
    "aws-external-anthropic.*.api.aws": "anthropic",
    "ollama.com": "ollama",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "codestral.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api-inference.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "xai",
    "*.api.x.ai": "xai",
    "api.cerebras.ai": "cerebras",
    "openrouter.ai": "openrouter",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "router.huggingface.co": "huggingface",
    "api-inference.huggingface.co": "huggingface",
    "*.endpoints.huggingface.cloud": "huggingface",
    "api.deepgram.com": "deepgram",
    "agent.deepgram.com": "deepgram",
    "api.elevenlabs.io": "elevenlabs",
    "api.*.elevenlabs.io": "elevenlabs",  # one for each region
    "api.assemblyai.com": "assemblyai",
    "streaming.assemblyai.com": "assemblyai",
    "api.cartesia.ai": "cartesia",
    "api.replicate.com": "replicate",
    "api.voyageai.com": "voyage",
    "api.jina.ai": "jina",
    "api.ai21.com": "ai21",
    "api.sambanova.ai": "sambanova",
    "integrate.api.nvidia.com": "nvidia",
    "api.moonshot.ai": "moonshot",
    "api.moonshot.cn": "moonshot",
    "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "models.github.ai": "github",
    "models.inference.ai.azure.com": "github",
    "api.githubcopilot.com": "github",
}
_KNOWN = [(re.compile(translate(host)), provider) for host, provider in HOSTS.items()]


class Variables(NamedTuple):
    """The environment variables that SDKs of one provider read.

    Attributes:
        host: where they lead unless told otherwise; None if they must be told.
        base_url: the variable that tells them another place, or None.
        keys: the variables with credentials.
        provider: whose they are, where the host does not say it.
    """

    host: str | None
    base_url: str | None
    keys: tuple[str, ...]
    provider: str | None = None

    @property
    def whose(self) -> str | None:
        """The provider."""
        return self.provider if self.host is None else provider_of(self.host)


#: Read by openai 3, anthropic 2, google-genai 3, ollama 0.6, groq 1, cohere 5, boto3 1.4x, deepgram-sdk 5; of the other
#: providers only the key that their documentation names.
VARIABLES = (
    Variables("api.openai.com", "OPENAI_BASE_URL", ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY")),
    Variables("api.openai.com", "OPENAI_API_BASE", ()),  # llama-index, litellm
    Variables("api.anthropic.com", "ANTHROPIC_BASE_URL", ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")),
    Variables("generativelanguage.googleapis.com", "GOOGLE_GEMINI_BASE_URL", ("GOOGLE_API_KEY", "GEMINI_API_KEY")),
    Variables("generativelanguage.googleapis.com", "GEMINI_API_BASE", ()),  # litellm
    Variables("aiplatform.googleapis.com", "GOOGLE_VERTEX_BASE_URL", ()),
    Variables("aiplatform.googleapis.com", "ANTHROPIC_VERTEX_BASE_URL", ()),
    Variables("bedrock-runtime.us-east-1.amazonaws.com", "ANTHROPIC_BEDROCK_BASE_URL", ()),
    Variables(
        "bedrock-runtime.us-east-1.amazonaws.com", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", ("AWS_BEARER_TOKEN_BEDROCK",)
    ),
    Variables(None, "AZURE_OPENAI_ENDPOINT", ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"), "azure"),
    Variables(None, "OLLAMA_HOST", ("OLLAMA_API_KEY",), "ollama"),
    Variables("api.groq.com", "GROQ_BASE_URL", ("GROQ_API_KEY",)),
    Variables("api.cohere.com", "CO_API_URL", ("CO_API_KEY", "COHERE_API_KEY")),
    Variables("api.cohere.com", "CO_BASE_URL", ()),  # pydantic-ai
    Variables("api.mistral.ai", "MISTRAL_BASE_URL", ("MISTRAL_API_KEY",)),  # langchain's; Mistral's own SDK reads none
    Variables("api.deepseek.com", None, ("DEEPSEEK_API_KEY",)),
    Variables("api.together.xyz", None, ("TOGETHER_API_KEY",)),
    Variables("api.fireworks.ai", None, ("FIREWORKS_API_KEY",)),
    Variables("api.perplexity.ai", None, ("PERPLEXITY_API_KEY",)),
    Variables("api.x.ai", None, ("XAI_API_KEY",)),
    Variables("api.cerebras.ai", None, ("CEREBRAS_API_KEY",)),
    Variables("openrouter.ai", None, ("OPENROUTER_API_KEY",)),
    Variables("api.deepgram.com", None, ("DEEPGRAM_API_KEY",)),
    Variables("api.elevenlabs.io", None, ("ELEVENLABS_API_KEY",)),
)


@lru_cache(maxsize=1024)
def provider_of(host: str) -> str | None:
    """Return the provider that a host belongs to, or None."""
    name = host.lower().rstrip(".")
    return next((provider for known, provider in _KNOWN if known.match(name)), None)


def keys_of(providers: Iterable[str]) -> list[str]:
    """Return the variables with the keys of these providers, the first one of each."""
    asked = set(providers)
    return [row.keys[0] for row in VARIABLES if row.keys and row.host and provider_of(row.host) in asked]


def is_listed(host: str, port: object, listed: Iterable[str]) -> bool:
    """Tell whether a host is in a list of hosts.

    Args:
        host: its name.
        port: of the connection, if it is known.
        listed: in lower case: names, ``"host:port"``, or the endings of names, which begin with a dot.
    """
    name = host.lower().rstrip(".")
    return any(one in {name, f"{name}:{port}"} or (one.startswith(".") and name.endswith(one)) for one in listed)


def is_address(host: str) -> bool:
    """Tell whether a host is given by its address."""
    try:
        ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
