"""Drift: whether labelled outputs that arrive one after another still look like those a threshold was calibrated on."""
