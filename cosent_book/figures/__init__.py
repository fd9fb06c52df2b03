"""The figures of the book, in its house style."""
