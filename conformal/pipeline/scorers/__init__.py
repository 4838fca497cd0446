"""Scores of claims, one method a file; larger = more confident, None = no score, and such a claim is never kept."""
