"""Encoder and decoder: translation as a language model with a condition."""
