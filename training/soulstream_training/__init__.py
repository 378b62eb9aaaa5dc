"""Learns the models that the engine plays: data, networks, recipes and evaluation."""
