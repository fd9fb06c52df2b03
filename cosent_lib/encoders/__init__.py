"""Texts to vectors: static, small from scratch, and Hugging Face checkpoints; pooling and geometry."""
