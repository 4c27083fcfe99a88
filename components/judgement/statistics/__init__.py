"""Statistics: how sure a difference between two models is."""
