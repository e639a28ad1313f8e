"""Vanishing and exploding gradients, clipping and initial weights."""
