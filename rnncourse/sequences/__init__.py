"""Sequences before there is a state: windows and time delays, and the network that reads its own output."""
