"""BLEU and chrF: scores of translations, and how sure one can be of them."""
