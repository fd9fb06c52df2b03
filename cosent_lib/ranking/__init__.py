"""The ranking loss: its readable heart, across processes, its power mean, its scale."""
