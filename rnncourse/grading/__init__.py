"""Graded exercises: their generation, their checks and the bank of classic mistakes."""
