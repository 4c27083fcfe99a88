"""Changes to a flatbuffer that make it quantize better: each takes bytes and returns bytes."""
