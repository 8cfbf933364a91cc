"""The frameworks on top of the SDKs whose users' tests are run here, and what is to be known of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from guide.pages import EXAMPLES, blocks

PROJECT = Path(__file__).parent / "project"
OWN = Path(__file__).parent / "own"
PAGE = EXAMPLES / "frameworks.md"
#: Which versions each was last run with, when all tests passed; `run.py --note` writes it.
SEEN = Path(__file__).parent / "seen.json"


@dataclass(frozen=True, kw_only=True)
class Framework:
    """One framework, with the tests that its user would write.

    Attributes:
        name: for the command line; its tests are in the folder of this name.
        shown: what its tests use of it, for the guide.
        requires: what pip installs, the framework first.
        to_know: what its user should know; for the guide.
        module: what the guide's examples of it say that they need; empty if it has none.
    """

    name: str
    shown: str
    requires: tuple[str, ...]
    to_know: str = ""
    module: str = ""

    @property
    def distributions(self) -> list[str]:
        """The names of what it requires."""
        return [re.split(r"[<>=!~\[;]", requirement)[0] for requirement in self.requires]

    @property
    def folder(self) -> Path:
        """The folder of its tests."""
        return OWN / self.name

    @property
    def examples(self) -> list[str]:
        """Its examples in the guide."""
        return [block.code for block in blocks(PAGE) if self.module in block.notes.get("needs", "").split()]


FRAMEWORKS: tuple[Framework, ...] = (
    Framework(
        name="langchain",
        shown="ChatOpenAI (chat, Responses), ChatAnthropic, ChatGoogleGenerativeAI, ChatBedrockConverse, ChatMistralAI",
        requires=(
            "langchain",
            "langchain-openai",
            "langchain-anthropic",
            "langchain-google-genai",
            "langchain-aws",
            "langchain-mistralai",
        ),
        to_know="Close what `astream` gives if you leave it early: `contextlib.aclosing`. For the server, set "
        "`MISTRAL_BASE_URL`. ChatMistralAI does not try again.",
    ),
    Framework(
        name="langgraph",
        shown="agents, graphs, memory",
        requires=("langgraph", "langchain", "langchain-openai"),
        module="langgraph",
    ),
    Framework(
        name="llama-index",
        shown="OpenAI, OpenAIResponses, FunctionAgent, a query engine",
        requires=("llama-index-core", "llama-index-llms-openai", "llama-index-embeddings-openai"),
        to_know="A stream that is left early stays open, even if its generator is closed, and is reported: pass it an "
        "HTTP client, and close that. Not shown: its Anthropic, which does not work with anthropic 2.",
    ),
    Framework(
        name="pydantic-ai",
        shown="OpenAI (chat and Responses), Anthropic, Google, Bedrock; in process Groq, Mistral, Cohere",
        requires=("pydantic-ai-slim[openai,anthropic,google,bedrock,groq,mistral,cohere]",),
        module="pydantic_ai",
        to_know="A stream of Google that is left early stays open until the garbage collector finds it, and is "
        "reported.",
    ),
    Framework(
        name="openai-agents",
        shown="runs, streams, hand-offs; Responses and chat",
        requires=("openai-agents",),
        module="agents",
    ),
    Framework(
        name="instructor",
        shown="OpenAI, Anthropic; objects, parts of them, several",
        requires=("instructor", "anthropic"),
        to_know="Script a tool call with the name of the class, or JSON in the mode of that name.",
    ),
    Framework(
        name="dspy",
        shown="Predict, ChainOfThought, ReAct, streamify",
        requires=("dspy",),
        to_know="`mock_stream_server` only: dspy has an HTTP client of its own, on bare sockets. Make the LM with "
        "`cache=False`, or a second test is answered by the first.",
    ),
    Framework(
        name="haystack",
        shown="OpenAIChatGenerator, OpenAIResponsesChatGenerator, AnthropicChatGenerator, pipelines, Agent",
        requires=("haystack-ai", "anthropic-haystack"),
    ),
    Framework(name="smolagents", shown="ToolCallingAgent, CodeAgent, OpenAIModel", requires=("smolagents[openai]",)),
    Framework(name="crewai", shown="crews, flows, LLM", requires=("crewai",)),
    Framework(
        name="autogen",
        shown="AssistantAgent, RoundRobinGroupChat, OpenAIChatCompletionClient",
        requires=("autogen-agentchat", "autogen-ext[openai]"),
    ),
    Framework(
        name="semantic-kernel",
        shown="OpenAIChatCompletion, ChatCompletionAgent, functions",
        requires=("semantic-kernel",),
    ),
    Framework(
        name="agno",
        shown="OpenAIChat, OpenAIResponses, Claude",
        requires=("agno", "openai", "anthropic"),
        to_know="A fault is no exception of a streamed run, but its last event.",
    ),
    Framework(
        name="strands",
        shown="BedrockModel, OpenAIModel, AnthropicModel",
        requires=("strands-agents[openai,anthropic]",),
        to_know="It waits before it tries again, 4 s at first: `retry_strategy=None` ends that.",
    ),
    Framework(
        name="litellm",
        shown="OpenAI, Anthropic, Gemini, Ollama; Router",
        requires=("litellm",),
        to_know="Set `LITELLM_LOCAL_MODEL_COST_MAP=True`, or it fetches a list of prices when it is imported. A stream "
        "that breaks is a `MidStreamFallbackError`.",
    ),
)

BY_NAME = {framework.name: framework for framework in FRAMEWORKS}
