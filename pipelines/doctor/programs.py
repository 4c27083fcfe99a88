"""What the doctor tries, each in a process of its own: `python -m … NAME DIRECTORY`.

The converter leaves its model in the directory for the interpreters.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tfx_tflite.components.errors import in_one_line

MODEL = "model.tflite"
# In the order in which they are tried.
NAMES = (
    "converter",
    "interpreter, default kernels",
    "interpreter, builtin kernels",
    "interpreter, reference kernels",
    "interpreter, TensorFlow Lite Micro",
    "compiler for Ethos-U",
    "ML Metadata",
    "Beam",
    "Beam workers in processes of their own",
)
NEED_A_MODEL = tuple(name for name in NAMES if name.startswith(("interpreter", "compiler")))
# What is only tried if its module is there: a package that is not needed need not be installed.
OPTIONAL = {
    "interpreter, TensorFlow Lite Micro": "tflite_micro",
    "compiler for Ethos-U": "ethosu.vela",
}
_INPUT = (1, 8)


def _convert(directory: Path) -> None:
    """Quantizes a small model to int8, as TFLiteQuantizer does in its own child process."""
    import numpy as np
    import tensorflow as tf

    from tfx_tflite.components.quantization.conversion.converter import Converter
    from tfx_tflite.components.quantization.recipe import Recipe
    from tfx_tflite.components.quantization.schemes import Scheme

    weights = tf.constant(np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4))

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, name="x")])
    def serving_default(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.nn.relu(tf.matmul(x, weights))}

    saved_model = directory / "saved_model"
    tf.saved_model.save(tf.Module(), str(saved_model), {"serving_default": serving_default})
    samples = {"x": np.linspace(-1, 1, 80, dtype=np.float32).reshape(10, 8)}
    with Converter(directory) as converter:
        content = converter.convert(
            saved_model, "serving_default", Recipe(Scheme.INT8_FLOAT_IO, batch_size=1), samples
        )
    (directory / MODEL).write_bytes(content)


def _interpret(kernels: str, directory: Path) -> None:
    """Runs the model with some kernels."""
    import numpy as np

    from tfx_tflite.components.models.runtime import open_model
    from tfx_tflite.components.versions import Kernels

    model = open_model((directory / MODEL).read_bytes(), Kernels(kernels))
    model.allocate({"x": _INPUT})
    outputs = model.run({"x": np.ones(_INPUT, np.float32)})
    if not np.isfinite(outputs["y"]).all():
        raise ValueError(f"the model gives {outputs['y'].tolist()}")


def _accelerate(directory: Path) -> None:
    """Compiles the model for an accelerator."""
    from tfx_tflite.components.models.vela import accelerate

    compiled = accelerate((directory / MODEL).read_bytes(), "ethos-u55-128")
    if not compiled.acceleration.accelerated:
        raise ValueError("Vela leaves every operator to the processor")


def _metadata(directory: Path) -> None:
    """Writes into a store of ML Metadata and reads it again."""
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as proto

    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(directory / "metadata.sqlite")
    store = metadata_store.MetadataStore(config)
    type_id = store.put_artifact_type(proto.ArtifactType(name="Tried"))
    store.put_artifacts([proto.Artifact(type_id=type_id, uri="here")])
    [artifact] = metadata_store.MetadataStore(config).get_artifacts_by_type("Tried")
    if artifact.uri != "here":
        raise ValueError(f"the store gives {artifact.uri!r}")


def _beam(options: tuple[str, ...], directory: Path) -> None:
    """Runs a pipeline and reads what it wrote."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    arguments = ["--runner=FnApiRunner", *options]
    with beam.Pipeline(options=PipelineOptions(arguments)) as pipeline:
        (
            pipeline
            | beam.Create([1, 2, 3, 4])
            | beam.Map(_square)
            | beam.CombineGlobally(sum)
            | beam.Map(str)
            | beam.io.WriteToText(str(directory / "sum"), shard_name_template="")
        )
    if (directory / "sum").read_text().strip() != "30":
        raise ValueError("the pipeline gives another sum")


def _square(number: int) -> int:
    return number * number


_WORKERS = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
PROGRAMS: Mapping[str, Callable[[Path], None]] = dict(
    zip(
        NAMES,
        (
            _convert,
            partial(_interpret, "xnnpack"),
            partial(_interpret, "builtin"),
            partial(_interpret, "reference"),
            partial(_interpret, "micro"),
            _accelerate,
            _metadata,
            partial(_beam, ()),
            partial(_beam, _WORKERS),
        ),
        strict=True,
    )
)


def main() -> None:
    """Tries what the arguments name; the last line of stderr says what went wrong."""
    name, directory = sys.argv[1:]
    try:
        PROGRAMS[name](Path(directory))
    except Exception as error:
        # Whatever it is: that it does not run is what is asked for.
        print(in_one_line(error), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
