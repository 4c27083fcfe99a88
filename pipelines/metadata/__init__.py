"""ML Metadata: where it is kept."""
