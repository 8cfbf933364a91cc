"""What is a date in the name of a model, and what is not."""

from __future__ import annotations

import pytest

from pytest_mockstream.recordings.model_names import undated


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-5-2025-08-07", "gpt-5"),
        ("gpt-4o-realtime-preview-2024-12-17", "gpt-4o-realtime-preview"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4-0125-preview", "gpt-4-preview"),
        ("chatgpt-4o-latest", "chatgpt-4o"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "us.anthropic.claude-sonnet-4-v1:0"),
        ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro-preview"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash-preview"),
        ("models/gemini-flash-latest", "gemini-flash"),
        ("gemini-exp-1206", "gemini-exp"),
        ("mistral-large-2411", "mistral-large"),
        ("command-a-03-2025", "command-a"),
        ("grok-4-0709", "grok-4"),
        ("kimi-k2-0711-preview", "kimi-k2-preview"),
        ("qwen-max-2025-01-25", "qwen-max"),
        ("llama3.2:latest", "llama3.2"),
        ("anthropic/claude-sonnet-4-20250514", "anthropic/claude-sonnet-4"),
    ],
)
def test_date_is_no_part_of_a_name(model: str, expected: str) -> None:
    assert undated(model) == expected


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4-32k", "gpt-5", "o3-mini", "text-embedding-ada-002", "gpt-4.1", "gemini-2.0-flash-001"),
        *(
            "claude-opus-4-1",
            "mixtral-8x7b-32768",
            "llama3.2:3b",
            "latest",
            "amazon.nova-lite-v1:0",
            "gpt-oss-120b",
            "",
        ),
        "ft:gpt-4o-mini-2024-07-18:acme::abc123",
    ],
)
def test_version_that_is_no_date_stays(model: str) -> None:
    assert undated(model) == model
