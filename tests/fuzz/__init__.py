"""Fuzzes everything that reads what a stranger sends.

By hand, guided by coverage: ``pip install atheris``, then ``python -m tests.fuzz request --seconds 600``; a short run
without atheris is in the suite.
"""
