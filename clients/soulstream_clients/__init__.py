"""Receivers of the stream, standard library only: copy a file of this package wherever Python runs."""
