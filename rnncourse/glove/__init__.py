"""GloVe: word vectors from the counts of words that stand near each other."""
