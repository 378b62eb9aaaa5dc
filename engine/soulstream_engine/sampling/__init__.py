"""Sampler: what the network gets to see, which plans are drawn, which of them is danced. Pure numpy, no runtime."""
