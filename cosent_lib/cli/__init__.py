"""The command line: cosent COMMAND, or python -m cosent_lib COMMAND."""
