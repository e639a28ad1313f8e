"""Embeddings: words as vectors, the gradient of a lookup, and one matrix for input and output."""
