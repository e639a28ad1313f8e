# Temperature, top-k and nucleus act on five logits.
import numpy as np

from rnncourse.language_model.numpy import entropy, sampling_probabilities

logits = np.array([[2.0, 1.0, 0.5, 0.0, -1.0]])
for settings in ({}, {"temperature": 0.5}, {"top_k": 2}, {"nucleus": 0.8}):
    probabilities = sampling_probabilities(logits, **settings)
    nats = entropy(probabilities)[0]
    print(probabilities[0].round(3), f"entropy {nats:.2f} nats", settings)
