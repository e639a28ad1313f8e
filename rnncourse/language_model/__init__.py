"""Language models of characters and words: training, sampling, and what they remember."""
