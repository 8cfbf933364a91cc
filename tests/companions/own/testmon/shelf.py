"""Code that tests depend on."""


def books() -> int:
    """Return how many there are."""
    return 3
