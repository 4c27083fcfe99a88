"""Models: SavedModels and TensorFlow Lite models, their runtimes, and what they answer."""
