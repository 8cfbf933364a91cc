"""How each SDK closes a stream, for messages about streams that were left open.

The obvious way does not always work: ``aclose()`` on google-genai's async stream leaves its connection open.
"""

from __future__ import annotations

from types import FrameType

from pytest_mockstream._base.callsite import is_library

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: By top-level package. Checked against openai 2.54 and 3.54, anthropic 2.12, google-genai 3.4, ollama 0.6,
#: langchain-openai 1.7, pydantic-ai 2.62, litellm 1.106, llama-index-llms-openai 0.8, requests 2.34, urllib3 2.8 and
#: botocore 1.40.
_REMEDIES = {
    "openai": (
        "With openai, write `with client....create(..., stream=True) as stream:` (AsyncOpenAI: `async with await`), or"
        " call the stream's close()."
    ),
    "anthropic": (
        "With anthropic, write `with client.messages.stream(...) as stream:` (AsyncAnthropic: `async with`), or call"
        " close() on what messages.create(..., stream=True) returned."
    ),
    "google": (
        "With google-genai, read the stream to its end, or leave its client: `async with client.aio:` or"
        " `with Client() as client:`. aclose() on the async stream does not close the connection."
    ),
    "ollama": (
        "With ollama, close the generator: `with contextlib.closing(client.chat(..., stream=True)) as parts:`, for"
        " AsyncClient `async with contextlib.aclosing(await client.chat(..., stream=True)) as parts:`."
    ),
    "requests": (
        "With requests, write `with requests.post(..., stream=True) as reply:`, or call the reply's close(). Closing"
        " the session does not close it."
    ),
    "urllib3": (
        "With urllib3, call close() on what was asked with preload_content=False. Closing the pool does not close it."
    ),
    "botocore": (
        'With boto3, close the stream that is in the reply: `with contextlib.closing(reply["stream"]) as events:`, or'
        ' its body: `reply["body"].close()`.'
    ),
    "cohere": (
        "With cohere, close the generator: `with contextlib.closing(client.chat_stream(...)) as events:`, for"
        " AsyncClientV2 `async with contextlib.aclosing(client.chat_stream(...)) as events:`."
    ),
    "litellm": (
        "With litellm, read the stream to its end, or call its close (`await stream.aclose()`) in a `finally`."
    ),
    "langchain": (
        "With langchain, close the generator: `async with contextlib.aclosing(model.astream(...)) as chunks:`, or"
        " `with contextlib.closing(model.stream(...)) as chunks:`."
    ),
    "aiobotocore": (
        "With aioboto3, close the event stream in a `finally`: `reply['stream'].close()` (of"
        " invoke_model_with_response_stream, `reply['body'].close()`)."
    ),
    "llama_index": (
        "llama-index does not close the stream that it opened, not even when its generator is closed: read it to its"
        " end, or pass an HTTP client of yours (`http_client=`, `async_http_client=`) and close that."
    ),
    "pydantic_ai": (
        "With pydantic-ai, stay inside `async with agent.run_stream(...) as result:` and read to the end there."
    ),
}


def remedy_for(frame: FrameType | None, default: str) -> str:
    """Return how the SDK that the user called closes a stream.

    Args:
        frame: where the request was made.
        default: what to return where no SDK in the table made it.
    """
    remedy = default
    while frame is not None and is_library(frame.f_code.co_filename):
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        remedy = _REMEDIES.get("langchain" if package.startswith("langchain") else package, remedy)
        frame = frame.f_back
    return remedy
