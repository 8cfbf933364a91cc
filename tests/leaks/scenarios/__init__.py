"""Tests that leak and tests that do not, each with the verdict that a user expects of the leak check.

Only the driver runs them, in a pytest of their own; the names are not those of tests.
"""
