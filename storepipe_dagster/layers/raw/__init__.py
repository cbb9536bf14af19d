"""Captures of the store API, kept as it gave them, with passwords removed."""
