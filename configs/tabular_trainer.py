"""A small dense net for rows of numbers: one scalar model input a feature, one output.

`model.trainer.custom_config` of the config names the label and the task, `binary` or `regression`.
Each input is standardised by itself inside the model, so that each is quantized with its own scale.
"""

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.utils import io_utils

BATCH = 32
_TASKS = {
    "binary": ("sigmoid", "binary_crossentropy"),
    "regression": ("linear", "mean_squared_error"),
}


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the train files and exports the model to `fn_args.serving_model_dir`."""
    tf.keras.utils.set_random_seed(1)
    label, task = fn_args.custom_config["label"], fn_args.custom_config["task"]
    rows = load(fn_args.train_files, fn_args.schema_path)
    labels = rows.pop(label)
    model = build_model(rows, labels, task)
    model.fit(batches(rows, labels), steps_per_epoch=fn_args.train_steps, verbose=2)
    export(model, fn_args.serving_model_dir)


def load(file_patterns: list[str], schema_path: str) -> dict[str, np.ndarray]:
    """Returns all features, the label among them, by name as float32 arrays of shape (rows, 1)."""
    schema = io_utils.parse_pbtxt_file(schema_path, schema_pb2.Schema())
    types = {schema_pb2.INT: tf.int64, schema_pb2.FLOAT: tf.float32}
    spec = {f.name: tf.io.FixedLenFeature([1], types[f.type]) for f in schema.feature}
    files = tf.io.gfile.glob(file_patterns)
    # Sorted, because with `data.shuffle` ExampleGen gives another order in every run.
    examples = sorted(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
    parsed = tf.io.parse_example(examples, spec)
    return {name: values.numpy().astype(np.float32) for name, values in sorted(parsed.items())}


def batches(rows: dict[str, np.ndarray], labels: np.ndarray) -> tf.data.Dataset:
    """Returns endless shuffled batches of (rows, labels)."""
    examples = tf.data.Dataset.from_tensor_slices((rows, labels))
    return examples.shuffle(len(labels), seed=1).repeat().batch(BATCH)


def build_model(rows: dict[str, np.ndarray], labels: np.ndarray, task: str) -> tf.keras.Model:
    """Returns the compiled net, with each feature's mean and deviation built in."""
    activation, loss = _TASKS[task]
    layers = tf.keras.layers
    inputs = {name: tf.keras.Input([1], name=name) for name in rows}
    standardised = [
        layers.Rescaling(1 / values.std(), -values.mean() / values.std())(inputs[name])
        for name, values in rows.items()
    ]
    hidden = layers.Concatenate()(standardised)
    for units in (32, 16):
        hidden = layers.Dense(units, activation="relu")(hidden)
    output = layers.Dense(1, activation=activation)(hidden)
    if task == "regression":
        output = layers.Rescaling(labels.std(), labels.mean())(output)
    model = tf.keras.Model(inputs, output)
    model.compile(tf.keras.optimizers.Adam(0.005), loss)
    return model


def export(model: tf.keras.Model, path: str) -> None:
    """Saves the model with one signature, which takes each feature as a tensor."""
    specs = {name: tf.TensorSpec([None, 1], tf.float32, name=name) for name in model.input}

    @tf.function(input_signature=[specs])
    def serving_tensors(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"prediction": model(features, training=False)}

    tf.saved_model.save(model, path, signatures={"serving_tensors": serving_tensors})
