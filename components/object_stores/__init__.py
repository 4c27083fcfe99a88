"""Object stores: what is asked of them, and files that lie there for TFX, Beam and TensorFlow."""
