"""Beam search: finding a likely output, by any step function, with tables, arrays or tensors."""
