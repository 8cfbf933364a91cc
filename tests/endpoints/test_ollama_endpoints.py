"""Ollama's models, asked for by its SDK through each door; its models check what they get."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import ollama
import pytest

from pytest_mockstream import MockStreamSDK, MockStreamServer

from .conftest import Door


@pytest.fixture
def llama(door: Door) -> Iterator[ollama.Client]:
    with ollama.Client(host=door.url if isinstance(door, MockStreamServer) else None) as client:
        yield client


def test_model_is_pulled_step_by_step_and_listed(door: Door, llama: ollama.Client) -> None:
    steps = list(llama.pull("llama3", stream=True))

    assert (steps[0].status, steps[-1].status) == ("pulling manifest", "success")
    assert [step.completed for step in steps if step.digest] == [0, 500_000, 1_000_000]
    assert [model.model for model in llama.list().models] == ["mock-model", "llama3"]
    assert door.requests[0].streaming


def test_model_is_made_copied_pushed_and_deleted(llama: ollama.Client) -> None:
    assert llama.create(model="mine", from_="llama3").status == "success"
    assert llama.copy("mine", "yours").status == "success"
    assert llama.push("yours").status == "success"
    assert llama.delete("yours").status == "success"

    assert [model.model for model in llama.list().models] == ["mock-model", "mine"]
    with pytest.raises(ollama.ResponseError, match="not found"):
        llama.show("yours")
    with pytest.raises(ollama.ResponseError, match="not found"):
        llama.delete("yours")


def test_model_is_shown_and_runs(llama: ollama.Client) -> None:
    assert llama.show("llama3").capabilities == ["completion", "tools", "thinking"]
    assert [model.model for model in llama.ps().models] == ["mock-model"]


def test_blob_is_there_once_it_was_sent() -> None:
    digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with MockStreamSDK() as sdk:
        url = f"http://localhost:11434/api/blobs/{digest}"

        assert httpx2.head(url).status_code == 404
        assert httpx2.post(url, content=b"abc").status_code == 201
        assert httpx2.head(url).status_code == 200
        assert httpx2.post(url, content=b"abd").status_code == 400
        with pytest.raises(AssertionError, match="the digest of what was sent is sha256:"):
            sdk.verify()
