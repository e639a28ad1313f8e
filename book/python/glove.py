# Vectors of length two for five words, fitted to the logarithms of counts.
import numpy as np

from rnncourse.glove.numpy import (
    cooccurrence,
    dense,
    glove_init,
    shuffled_batches,
    train_glove,
)

words = "cat dog milk bone the".split()
text = "the cat the milk . the dog the bone . the cat the milk"
sentences = [sentence.split() for sentence in text.split(" . ")]
sentences = [[words.index(word) for word in words_] for words_ in sentences]
counts = cooccurrence(sentences, V=5, window=3)
rng = np.random.default_rng(0)
batches = shuffled_batches(rng, len(counts.values), 4, epochs=200)
e, theta, b, c = train_glove(counts, glove_init(rng, 5, 2), batches)[0]
print("counts, and the fit to them:")
print(dense(counts).round(1))
print(np.exp(e @ theta.T + b[:, None] + c).round(1))
