"""Everything that is pytest.

The wall: thin. Every pytest run of everyone who has the package loads this module, so it imports nothing but pytest and
what pytest loads anyway; doors come in inside the fixtures that need them.
"""
