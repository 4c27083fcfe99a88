"""What of TFX is replaced, and why."""
