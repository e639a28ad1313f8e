"""Texts and synthetic tasks: nothing is downloaded."""
