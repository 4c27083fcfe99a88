"""The clocks that run a pipeline by itself, a module a clock, and what their ticks mean."""
