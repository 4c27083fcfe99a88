"""A first config, written from what a model and data are: `tfx-tflite init`."""
