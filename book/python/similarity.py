# king - man + woman, with four vectors made by hand.
# Scale one of them: what stays the same?
import numpy as np

from rnncourse.similarity.numpy import analogy, cosine_similarity

words = ["man", "woman", "king", "queen"]
vectors = [[1.0, 0.0, 0.2], [0.0, 1.0, 0.2], [1.0, 0.1, 1.0], [0.1, 1.0, 1.0]]
vectors = np.array(vectors)
print(cosine_similarity(vectors, vectors).round(2))
answer = analogy(vectors, np.array([[0, 2, 1]]))
print("man is to king as woman is to", words[answer[0][0, 0]])
