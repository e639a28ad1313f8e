# What negative sampling aims at: the pointwise mutual information of two words,
# less ln k.
import numpy as np

from rnncourse.word2vec.numpy import pmi, shifted_pmi

counts = np.array([[0, 4, 1], [4, 0, 2], [1, 2, 0]])
with np.errstate(divide="ignore"):
    print(pmi(counts).round(2))
    print(shifted_pmi(counts, 5).round(2))
