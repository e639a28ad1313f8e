# A translation model with random weights: what it says to two sentences, the
# second one padded.
import numpy as np

from rnncourse.seq2seq.numpy import greedy, seq2seq_init

rng = np.random.default_rng(0)
params = seq2seq_init(rng, V_source=8, V_target=8, E=4, H=6)
source, lengths = np.array([[4, 5, 6], [7, 5, 0]]).T, np.array([3, 2])
tokens, said = greedy(source, lengths, params, max_length=6)
print("read:", source.T.tolist(), "said:", tokens.T.tolist())
source[2, 1] = 6  # other padding, same answer
again, said = greedy(source, lengths, params, max_length=6)
print("unmoved by padding:", np.array_equal(again, tokens))
