# A hypothesis that says "the" seven times: clipping grants it two.
from rnncourse.bleu.numpy import bleu_statistics, corpus_bleu, ngram_precisions

sentences = ["the cat is on the mat", "there is a dog in the garden"]
references = [[sentence.split()] for sentence in sentences]
said = ["the the the the the the the", "there is a dog in a garden"]
hypotheses = [sentence.split() for sentence in said]
for hypothesis, own in zip(hypotheses, references, strict=True):
    print(ngram_precisions(bleu_statistics([hypothesis], [own])))
print("BLEU of the corpus:", corpus_bleu(hypotheses, references))
