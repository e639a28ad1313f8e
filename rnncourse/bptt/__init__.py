"""Backpropagation through time: full, truncated, and its forward-mode counterpart."""
