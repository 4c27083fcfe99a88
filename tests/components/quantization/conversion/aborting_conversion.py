"""A child that converts as the converter aborts on: by `from_saved_model`, with batch norm.

Run as `python aborting_conversion.py SAVED_MODEL PIPE PARENT`.
"""

import sys

import tensorflow as tf

if __name__ == "__main__":
    tf.lite.TFLiteConverter.from_saved_model(
        sys.argv[1], signature_keys=["serving_tensors"]
    ).convert()
