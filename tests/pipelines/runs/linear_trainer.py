"""A trainer that takes no time: least squares on a feature `x`, with two classes."""

import numpy as np
import tensorflow as tf


def run_fn(fn_args):
    """Least squares; with `bad` in custom_config the answers are the wrong way round."""
    rows, labels = [], []
    for file in fn_args.train_files:
        for path in tf.io.gfile.glob(file):
            for record in tf.data.TFRecordDataset(path, "GZIP").as_numpy_iterator():
                example = tf.train.Example.FromString(record)
                rows.append(example.features.feature["x"].float_list.value)
                labels.append(example.features.feature["label"].int64_list.value[0])
    x, y = np.array(rows), 2.0 * np.array(labels) - 1
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    if (fn_args.custom_config or {}).get("bad"):
        weights = -weights

    class Linear(tf.Module):
        def __init__(self):
            columns = 4 * np.stack([-weights, weights], axis=1)
            self.weights = tf.Variable(columns.astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
        def serve(self, x):
            return {"probabilities": tf.nn.softmax(tf.linalg.matmul(x, self.weights))}

    model = Linear()
    tf.saved_model.save(model, fn_args.serving_model_dir, {"serving_tensors": model.serve})
