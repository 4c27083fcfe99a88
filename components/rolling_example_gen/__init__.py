"""ExampleGen over several spans at once."""
