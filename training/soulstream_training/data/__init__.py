"""Readers of motion and music, and the stores that training reads."""
