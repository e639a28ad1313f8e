"""Stacked and bidirectional recurrent networks, sequences of different lengths, dropout."""
