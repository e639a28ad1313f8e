# Looking a word up is multiplying its one-hot vector by the matrix.
# The gradient lands on the rows that were read.
import numpy as np

from rnncourse.embeddings.numpy import (
    embedding_backward,
    embedding_forward,
    embedding_init,
)

weight = embedding_init(np.random.default_rng(0), V=5, E=3)
ids = np.array([[1], [4], [1]])
vectors, cache = embedding_forward(ids, weight)
print(np.allclose(vectors, np.eye(5)[ids] @ weight))
print(embedding_backward(np.ones_like(vectors), cache))
