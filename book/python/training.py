# Batches of sentences with similar lengths hold less padding. How much less?
import numpy as np

from rnncourse.training.numpy import bucket_batches, padding_share

rng = np.random.default_rng(0)
lengths = rng.geometric(0.1, size=1000)
order = rng.permutation(1000)
shuffled = [order[start : start + 20] for start in range(0, 1000, 20)]
print(f"drawn at random: {padding_share(lengths, shuffled):.1%} padding")
for pool in (100, 1000):
    batches = bucket_batches(lengths, 20, rng, pool)
    print(f"sorted in pools of {pool}: {padding_share(lengths, batches):.1%}")
