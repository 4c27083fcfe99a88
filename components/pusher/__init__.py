"""TFLitePusher: pushes a blessed model, whole, versioned, with a manifest."""
