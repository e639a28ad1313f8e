"""Tables of n-grams: their smoothing, their scores, and the files in which they are kept."""
