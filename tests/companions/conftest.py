"""What the companions' projects hold is run there, each in a pytest of its own, and not here."""

collect_ignore = ["project", "own"]
