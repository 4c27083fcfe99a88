"""What one writes by hand instead of the digits pipeline, and what the pipeline costs beside it.

As a program with a directory it is such a script: it trains the digits pipeline's net, converts it
to int8 with 200 calibration examples, compares its accuracy with the float model's, and copies it.
Nothing is checked, recorded, judged by slices or reported. Without a directory it measures: the
script and `tfx-tflite run configs/digits.yaml`, each in fresh directories, in turn; and a process
that only imports what each of them imports. It prints how many times the script's CPU seconds the
pipeline takes, with imports and without, and exits with 0 if the latter are few enough.

    python benchmarks/script.py [--repeat 3]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# What is asked for: the pipeline's work as a multiple of the script's, both without imports.
MOST = 1.5

EPOCH_STEPS, BATCH, CALIBRATION_EXAMPLES = 300, 64, 200
# As many as the pipeline evaluates, which takes a part of scikit-learn's 1,797 digits.
EVAL_EXAMPLES = 449


def train_and_copy(directory: Path) -> None:
    """Trains, quantizes, compares and copies, as one does without a pipeline."""
    import tensorflow as tf
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images, labels = (bundle.images[..., None] / 16).astype("float32"), bundle.target
    train, test = slice(None, -EVAL_EXAMPLES), slice(-EVAL_EXAMPLES, None)

    tf.keras.utils.set_random_seed(1)
    layers = tf.keras.layers
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 1))])
    for filters in (16, 32):
        model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
    model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    examples = tf.data.Dataset.from_tensor_slices((images[train], labels[train]))
    model.fit(
        examples.shuffle(len(images), seed=1).batch(BATCH).repeat(),
        steps_per_epoch=EPOCH_STEPS,
        validation_data=(images[test], labels[test]),
        verbose=2,
    )

    saved = directory / "saved_model"
    model.export(str(saved))
    float_model = tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [image[None]] for image in images[:CALIBRATION_EXAMPLES]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    quantized_model = converter.convert()

    def accuracy(content: bytes) -> float:
        interpreter = tf.lite.Interpreter(model_content=content)
        [given], [result] = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.allocate_tensors()
        right = 0
        for image, label in zip(images[test], labels[test], strict=True):
            if given["dtype"] is not image.dtype.type:
                scale, zero_point = given["quantization"]
                image = (image / scale + zero_point).round().clip(-128, 127).astype(given["dtype"])
            interpreter.set_tensor(given["index"], image[None])
            interpreter.invoke()
            right += int(interpreter.get_tensor(result["index"]).argmax() == label)
        return right / len(labels[test])

    before, after = accuracy(float_model), accuracy(quantized_model)
    print(f"float {before:.4f}, int8 {after:.4f}")
    if after < before - 0.01:
        sys.exit("int8 costs too much")
    made = directory / "model.tflite"
    made.write_bytes(quantized_model)
    (directory / "pushed").mkdir()
    shutil.copy(made, directory / "pushed")


def cpu_seconds(command: list[str]) -> float:
    """Returns the CPU seconds of a process and of all that it started.

    Raises:
        SystemExit: It failed.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            text = said.read().decode(errors="replace")
            sys.exit(f"{' '.join(command)} failed:\n{text[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def measure(repeat: int) -> int:
    """Prints what the script and the pipeline cost, and returns the exit code."""
    from startup import Checkout, settings

    here = Checkout(Path(__file__).resolve().parents[1], Path(sys.executable))
    scripts, runs, tensorflow, imports = [], [], [], []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            scripts.append(cpu_seconds([sys.executable, __file__, name]))
            places = settings(directory / "root", directory / "to")
            found = here.measure("run", "run", "configs/digits.yaml", *places)
            runs.append(found.own + found.children)
            listing = directory / "modules.json"
            listing.write_text(json.dumps(found.modules), encoding="utf-8")
            tensorflow.append(here.measure("tensorflow").own)
            imports.append(here.measure("imports", str(listing)).own)
    for what, figures in (
        ("script", scripts),
        ("import tensorflow", tensorflow),
        ("digits pipeline", runs),
        ("imports of the pipeline's process", imports),
    ):
        print(
            f"{what:<36} {min(figures):6.2f} CPU-s at least, {statistics.median(figures):6.2f} "
            "in the median"
        )
    print(f"with imports: {min(runs) / min(scripts):.2f} times the script")
    ratio = (min(runs) - min(imports)) / (min(scripts) - min(tensorflow))
    holds = ratio <= MOST
    print(
        f"without imports: {ratio:.2f} times the script (at most {MOST:g}): "
        f"{'holds' if holds else 'DOES NOT HOLD'}"
    )
    return 0 if holds else 1


def main() -> int:
    """Runs as the script, or measures it beside the pipeline; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("directory", type=Path, nargs="?", help="run as the script, and work here")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    if options.directory is None:
        return measure(options.repeat)
    train_and_copy(options.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
