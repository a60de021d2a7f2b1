"""Predictors that ship with the package."""
