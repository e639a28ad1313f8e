"""Recurrent neural networks, derived in the book and implemented here, one room a topic."""
