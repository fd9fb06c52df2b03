"""Pairs with labels: from files, the hub or the built-in corpus, every row checked."""
