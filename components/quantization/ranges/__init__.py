"""Ranges: the smallest and largest value of each tensor, from which scales are made."""
