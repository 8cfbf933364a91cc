"""Reads replies: one module for each wire format, the twin of its encoder; decoders do not know each other."""
