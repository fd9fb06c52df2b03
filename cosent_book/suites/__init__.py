"""What the book has run: every suite as a readable declaration."""
