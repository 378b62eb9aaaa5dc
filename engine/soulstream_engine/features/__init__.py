"""Causal music features and the beat clock: one row for every motion frame, the same code live and in training."""
