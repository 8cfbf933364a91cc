"""How a script reaches the code under test: as an argument, in process, or over HTTP."""
