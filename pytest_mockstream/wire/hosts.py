"""The table of providers' hosts, and its look-up."""

from __future__ import annotations

#: Hosts, and endings of hosts, with the provider they belong to; the first that fits counts.
HOSTS: dict[str, str] = {
    "api.openai.com": "openai",
    ".openai.azure.com": "azure",
    ".cognitiveservices.azure.com": "azure",
    ".services.ai.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "aiplatform.googleapis.com": "vertex",
    "-aiplatform.googleapis.com": "vertex",
    "ollama.com": "ollama",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "xai",
    "api.cerebras.ai": "cerebras",
    "openrouter.ai": "openrouter",
    "api.cohere.com": "cohere",
    "router.huggingface.co": "huggingface",
}


def provider_of(host: str) -> str | None:
    """Return the provider that a host belongs to, or None."""
    host = host.lower().rstrip(".")
    for known, provider in HOSTS.items():
        if host == known or (known[0] in ".-" and host.endswith(known)):
            return provider
    return None
