"""Configs: what their keys mean, and whether they fit the model, the data and the machine."""
