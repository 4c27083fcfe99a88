"""An ordinary TFX pipeline that also ships a quantized TensorFlow Lite model.

The pipeline was there first: it trains a model, has TFX's Evaluator bless it, and has TFX's Pusher
hand it to a server. `tflite_nodes` adds four nodes. `python examples/existing_pipeline/pipeline.py
--help` says how to run it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import tensorflow_model_analysis as tfma
from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import BaseChannel

from tfx_tflite.components import (
    CalibrationSampler,
    Gate,
    MetricRule,
    QuantizationEvaluator,
    TFLiteQuantizer,
)

TRAINER = Path(__file__).parents[2] / "configs" / "digits_trainer.py"
METRIC = "SparseCategoricalAccuracy"
SPLITS = ("train", "eval")


def existing_nodes(data: str, serving: str) -> list[BaseNode]:
    """Returns the pipeline as it was: from the examples to a float model that is served.

    Args:
        data: A directory with TFRecords of tf.Example in `train/` and `eval/`.
        serving: Where the float model is pushed to.
    """
    splits = [tfx.proto.Input.Split(name=name, pattern=f"{name}/*") for name in SPLITS]
    example_gen = tfx.components.ImportExampleGen(
        input_base=data, input_config=tfx.proto.Input(splits=splits)
    )
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    schema_gen = tfx.components.SchemaGen(
        statistics=statistics_gen.outputs["statistics"], infer_feature_shape=True
    )
    trainer = tfx.components.Trainer(
        module_file=str(TRAINER),
        examples=examples,
        schema=schema_gen.outputs["schema"],
        train_args=tfx.proto.TrainArgs(num_steps=300),
        eval_args=tfx.proto.EvalArgs(num_steps=20),
    )
    # The float model must be right on 90 % of the examples to be served.
    bound = tfma.GenericValueThreshold(lower_bound={"value": 0.9})
    evaluator = tfx.components.Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        eval_config=eval_config(tfma.MetricThreshold(value_threshold=bound)),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=directory(serving),
    )
    return [example_gen, statistics_gen, schema_gen, trainer, evaluator, pusher]


def tflite_nodes(
    examples: BaseChannel, schema: BaseChannel, model: BaseChannel, devices: str, max_drop: float
) -> list[BaseNode]:
    """Returns what was added: from the float model to a quantized one that is on devices.

    Args:
        examples: What ExampleGen gives.
        schema: What SchemaGen gives.
        model: What the Trainer gives: a SavedModel with a signature `serving_tensors`, whose
            inputs are tensors with the names of features.
        devices: Where the quantized model is pushed to.
        max_drop: By how much the quantized model's accuracy may be lower than the float model's.
    """
    sampler = CalibrationSampler(examples=examples, schema=schema, samples=200)
    quantizer = TFLiteQuantizer(
        model=model,
        calibration_examples=sampler.outputs["calibration_examples"],
        schema=schema,
        scheme="int8",
        signature="serving_tensors",
    )
    quantized = quantizer.outputs["quantized_model"]
    evaluator = QuantizationEvaluator(
        examples=examples,
        model=quantized,
        baseline_model=model,
        schema=schema,
        eval_config=eval_config(),
        signature="serving_tensors",
        gate=Gate(rules=[MetricRule(metric=METRIC, max_drop=max_drop)]),
    )
    # TFX's own Pusher takes this blessing as it takes that of TFX's Evaluator.
    pusher = tfx.components.Pusher(
        model=quantized,
        model_blessing=evaluator.outputs["blessing"],
        push_destination=directory(devices),
    ).with_id("QuantizedPusher")
    return [sampler, quantizer, evaluator, pusher]


def eval_config(threshold: tfma.MetricThreshold | None = None) -> tfma.EvalConfig:
    """Returns what is measured: the accuracy, on all examples and for every label.

    Args:
        threshold: What TFX's Evaluator asks for. QuantizationEvaluator has its gate instead.
    """
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(label_key="label", signature_name="serving_default")],
        metrics_specs=[
            tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name=METRIC, threshold=threshold)])
        ],
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["label"])],
    )


def directory(path: str) -> tfx.proto.PushDestination:
    """Returns a directory as Pusher takes it."""
    return tfx.proto.PushDestination(
        filesystem=tfx.proto.PushDestination.Filesystem(base_directory=path)
    )


def whole_pipeline(
    data: str, root: str, serving: str, devices: str, max_drop: float
) -> tfx.dsl.Pipeline:
    """Returns the old nodes and the new ones as one pipeline.

    Args:
        data: As of `existing_nodes`.
        root: Where artifacts and ML Metadata are kept.
        serving: Where the float model is pushed to.
        devices: Where the quantized model is pushed to.
        max_drop: As of `tflite_nodes`.
    """
    existing = existing_nodes(data, serving)
    outputs = {node.id: node.outputs for node in existing}
    # What TFX's Evaluator does not bless is not quantized either.
    blessing = outputs["Evaluator"]["blessing"].future()[0]
    with tfx.dsl.Cond(blessing.custom_property("blessed") == 1):
        added = tflite_nodes(
            examples=outputs["ImportExampleGen"]["examples"],
            schema=outputs["SchemaGen"]["schema"],
            model=outputs["Trainer"]["model"],
            devices=devices,
            max_drop=max_drop,
        )
    return tfx.dsl.Pipeline(
        pipeline_name="existing",
        pipeline_root=str(Path(root) / "artifacts"),
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(Path(root) / "metadata.sqlite")
        ),
        components=[*existing, *added],
        # Named, because Beam's default looks for a runner to download first.
        beam_pipeline_args=["--runner=FnApiRunner"],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the pipeline once."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="TFRecords in DATA/train and DATA/eval.")
    parser.add_argument("--root", required=True, help="Where artifacts and metadata are kept.")
    parser.add_argument("--serving", required=True, help="Where the float model is pushed to.")
    parser.add_argument("--devices", required=True, help="Where the quantized model is pushed to.")
    parser.add_argument("--max-drop", type=float, default=0.01, help="Of accuracy, at most.")
    tfx.orchestration.LocalDagRunner().run(whole_pipeline(**vars(parser.parse_args(arguments))))


if __name__ == "__main__":
    main()
