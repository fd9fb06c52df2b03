"""The losses of the field over (u, v, labels), each a few lines on the ranking loss or on torch."""
