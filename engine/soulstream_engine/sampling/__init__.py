"""Sampler: which tokens to unmask, what is committed, what the network gets to see. Pure numpy, no runtime."""
