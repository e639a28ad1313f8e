# Greedy takes the likelier first word and loses.
# A beam of two finds the better sentence.
import numpy as np

from rnncourse.beam_search.numpy import beam_search

# Words: 0 ends, 1 is "a", 2 is "b". Rows: after a, after b, at the start.
table = [[0.2, 0.4, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05], [0.02, 0.58, 0.4]]
table = np.log(table)


def step(words, state):
    return table[words], state


for K in (1, 2, 3):
    state = np.zeros((1, 1))  # this step needs none
    best = beam_search(step, state, 1, K=K, bos=3, eos=0, max_length=4)
    words, probability = best.tokens[:, 0, 0], np.exp(best.logprob[0, 0])
    print(f"K = {K}: words {words}, probability {probability:.3f}")
