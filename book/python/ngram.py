# Five sentences make a trigram model. Which words can follow "the cat"?
import numpy as np

from rnncourse.ngram.numpy import fit, next_word_probabilities

text = "the cat sat . the cat ate . a dog sat . the dog ate the cat . a cat sat"
sentences = [sentence.split() for sentence in text.split(" . ")]
model = fit(sentences, order=3, smoothing="add-k", k=0.1)
probabilities = next_word_probabilities(model, ["the", "cat"])
for word in np.argsort(-probabilities)[:4]:
    print(f"{model.vocabulary.words[word]:6} {probabilities[word]:.3f}")
