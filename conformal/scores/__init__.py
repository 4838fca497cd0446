"""Scores of claims: named transformations of ledger scores, and blends fitted on outputs of their own."""
