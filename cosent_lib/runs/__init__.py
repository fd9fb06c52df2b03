"""One declared run carried out and recorded: Run, perform, Record."""
