# One query, four keys: the weights, their mean of the values,
# and a word that the mask hides.
import numpy as np

from rnncourse.attention.numpy import attend_forward, padding_mask

scores = np.array([[[2.0, 1.0, 0.0, 3.0]]])
values = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [9.0, 9.0]])[:, None]
for lengths in ([4], [3]):
    mask = padding_mask(np.array(lengths), 4)
    context, weights, cache = attend_forward(scores, values, mask)
    print("weights", weights.round(3), "context", context.round(3))
