"""Word vectors learnt from the words around: skip-gram, CBOW and negative sampling."""
