"""ExampleGen for TFRecords that are examples already: checked and copied, not parsed."""
