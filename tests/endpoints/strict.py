"""Checks what an SDK has made of an answer against the SDK's own model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel


def unknown_fields(value: Any, path: str = "") -> Iterator[str]:
    """Yield the fields that a model took in without knowing them, all the way down."""
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from unknown_fields(getattr(value, name, None), f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from unknown_fields(item, f"{path}[{index}]")


def strict(value: Any, *beyond: str) -> Any:
    """Return a model as it is: nothing in it is missing, of a wrong type, or unknown.

    Args:
        value: an instance of a model, which its SDK may have made without looking at the types.
        *beyond: fields that the model does not know, and the provider sends all the same.
    """
    said = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    checked = type(value).model_validate(said)
    unknown = [name for name in unknown_fields(checked) if name not in beyond]
    assert not unknown, f"{type(value).__name__} does not know {', '.join(unknown)}"
    return value
