"""Answers of any model, cut into claims, scored, backed off and merged again; every stage resumable, every failure closed."""
