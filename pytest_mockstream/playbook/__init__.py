"""Which script answers which request, and what became of it."""
