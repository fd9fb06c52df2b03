"""How well cosines order pairs: metrics, thresholds, retrieval, intervals."""
