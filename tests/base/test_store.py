"""What is kept between two requests is found, replaced and forgotten, and a copy is a copy."""

from __future__ import annotations

from pytest_mockstream._base.store import Store


def test_ids_are_new_and_the_same_in_each_run() -> None:
    assert [store.new_id("a-") for store in (Store(), Store())] == ["a-1", "a-1"]
    store = Store()
    assert [store.new_id("a-"), store.new_id("b-")] == ["a-1", "b-2"]


def test_copy_keeps_what_was_there() -> None:
    store = Store()
    store.put("file", "a", 1)
    before = store.copy()
    store.put("file", "b", 2)
    store.remove("file", "a")
    first = store.new_id("")

    store.become(before)

    assert store.all("file") == {"a": 1}
    assert store.new_id("") == first


def test_the_latest_are_kept_if_not_all_are() -> None:
    store = Store(keep=0)

    for number in range(102):
        store.put("file", str(number), number)

    assert (len(store.all("file")), store.get("file", "1"), store.get("file", "2")) == (100, None, 2)


def test_clear_forgets_everything_and_counts_anew() -> None:
    store = Store()
    store.put("file", store.new_id("a-"), 1)

    store.clear()

    assert (store.all("file"), store.new_id("a-")) == ({}, "a-1")
