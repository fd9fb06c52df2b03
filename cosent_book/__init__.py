"""The experiments of the book From Softmax to Ranking: suites, records, measurements, tables, figures."""
