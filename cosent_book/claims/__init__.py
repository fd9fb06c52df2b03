"""What the book claims, and what the records say about each claim."""
