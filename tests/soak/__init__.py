"""Runs hostile bytes, random clients and random scripts against the doors, for as long as one likes.

By hand: ``python -m tests.soak --seconds 3600 --seed 1``; some seconds of it are in the suite.
"""
