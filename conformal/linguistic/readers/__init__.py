"""Readers: what someone who has only the text would believe about a question, as probabilities of its answer options.

Calibration belongs to a pair of text and reader (arXiv 2404.00474, definition 2.1), so every reader is declared: it has a name
with a version, and what it decides by convention is written where it is decided. `extractive` needs no model, `model` asks one;
`disagreement` compares two.
"""
