"""Similarity of word vectors: cosine, analogies, judgements, and maps by t-SNE."""
