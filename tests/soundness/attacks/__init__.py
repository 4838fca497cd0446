"""Attacks on the proof system, one file an idea. Each fails while the defect it shows exists."""
