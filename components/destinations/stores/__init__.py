"""Stores: the file systems that a destination of pushed models may be on."""
