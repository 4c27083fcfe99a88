"""Trains the nets of the bed, writes them to `models/`, and measures them.

Run it as `python -m tests.components.quantization_tuner.bed.record [NET …]`. Nets do not come out
the same to the bit on another machine, and so the files are kept.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress

import tensorflow as tf

from tests.components.quantization_tuner.bed import nets
from tests.components.quantization_tuner.bed.cases import CASES, FIGURES, MODELS, OUTPUT, Case
from tests.components.quantization_tuner.bed.quantized import plain, score
from tfx_tflite.components.errors import ConversionError, ModelError
from tfx_tflite.components.quantization.schemes import Scheme


def float_tflite(model: tf.keras.Model) -> bytes:
    """Returns a net as the converter writes it, with a free batch axis."""
    names = [each.name.split(":")[0] for each in model.inputs]
    specs = [
        tf.TensorSpec([None, *each.shape[1:]], tf.float32, name=name)
        for name, each in zip(names, model.inputs, strict=True)
    ]

    @tf.function(input_signature=specs)
    def serving(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        taken = dict(zip(names, given, strict=True)) if len(given) > 1 else given[0]
        return {OUTPUT: model(taken, training=False)}

    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(model, directory, signatures={"serving_tensors": serving})
        loaded = tf.saved_model.load(directory)
        function = loaded.signatures["serving_tensors"]
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], loaded)
        return converter.convert()


def measured(case: Case) -> dict[str, float]:
    """Returns the figures of a net, and of what comes of it without a repair."""
    content, inputs = case.float_tflite, case.calibration.inputs
    found = _figures(case, "float", content)
    for scheme in (Scheme.INT8, Scheme.INT16X8):
        # 16 bits have no kernel for hard-swish, and none that runs for squared differences.
        with suppress(ConversionError, ModelError):
            made = plain(content, inputs, scheme, case.ranges)
            found |= _figures(case, scheme.value, made)
    return found


def _figures(case: Case, name: str, content: bytes) -> dict[str, float]:
    splits = case.splits()
    return {
        f"{name}_bytes": len(content),
        f"{name}_eval": round(score(case, content, splits.eval), 4),
        f"{name}_tuning": round(score(case, content, splits.tuning), 4),
    }


def main(names: Sequence[str]) -> None:
    """Makes all nets, or those of some names."""
    chosen = [case for case in CASES.values() if not names or case.name in names]
    known = json.loads(FIGURES.read_text())["models"] if FIGURES.exists() else {}
    for case in chosen:
        content = float_tflite(nets.trained(getattr(nets, case.name)))
        (MODELS / f"{case.name}.tflite").write_bytes(content)
        known[case.name] = measured(case)
        print(case.name, known[case.name], flush=True)
        found = {"tensorflow": tf.__version__, "models": known}
        FIGURES.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
