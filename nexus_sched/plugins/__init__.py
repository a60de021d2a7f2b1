"""Predictors beside the core, and how any predictor is found by its name."""
