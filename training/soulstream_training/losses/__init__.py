"""Losses: what the tokenizer and the sampler are trained to do."""
