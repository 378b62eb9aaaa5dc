"""Scores of trained models: beats here, the tokenizer and others beside it."""
