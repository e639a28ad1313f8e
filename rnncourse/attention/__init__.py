"""Attention: scores, weights over the source, contexts, and decoders that read them."""
