"""Stated confidence in text: what it says, whether it can be trusted, and training that makes it so."""
