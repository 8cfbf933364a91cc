"""Reranking and embeddings in the shapes of Jina and Voyage, which have no SDK here, only their documentation."""

from __future__ import annotations

import httpx2
import pytest

from pytest_mockstream import MockStreamSDK

ASKED = {"model": "m", "query": "how far is the moon", "documents": ["cats sleep", "the moon is far"]}


def test_jina_returns_the_documents() -> None:
    with MockStreamSDK():
        told = httpx2.post("https://api.jina.ai/v1/rerank", json=ASKED | {"top_n": 1}).json()

    assert set(told) == {"id", "model", "usage", "results"}
    ((best,),) = [told["results"]]
    assert (best["index"], best["document"]) == (1, {"text": "the moon is far"})


def test_voyage_has_a_list_of_data() -> None:
    with MockStreamSDK():
        told = httpx2.post("https://api.voyageai.com/v1/rerank", json=ASKED | {"top_k": 1}).json()
        vectors = httpx2.post("https://api.voyageai.com/v1/embeddings", json={"model": "m", "input": ["a"]}).json()

    assert told == {
        "object": "list",
        "data": [{"index": 1, "relevance_score": told["data"][0]["relevance_score"]}],
        "model": "m",
        "usage": {"total_tokens": 9},
    }
    assert vectors["usage"] == {"total_tokens": 1}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"documents": []}, "'documents' must be a list of 1 to 10000 documents"),
        ({"documents": [3]}, "'documents' must be texts or objects, but one is 3"),
        ({"top_n": 0}, "'top_n' must be a whole number > 0, but it is 0"),
        ({"query": ""}, "'query' must be text and not empty"),
    ],
)
def test_what_cannot_be_ranked_is_refused(asked: dict[str, object], said: str) -> None:
    with MockStreamSDK() as sdk:
        reply = httpx2.post("https://api.jina.ai/v1/rerank", json=ASKED | asked)

        assert (reply.status_code, said in reply.json()["detail"]) == (400, True)
        with pytest.raises(AssertionError, match="cannot read it"):
            sdk.verify()
