"""The TFLitePusher component: TFX's Pusher with an executor that ships only what was blessed."""

from tfx import types
from tfx.components.pusher import component as tfx_pusher
from tfx.dsl.components.base import executor_spec
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ExecutionParameter

from tfx_tflite.components.destinations.settings import PusherSettings
from tfx_tflite.components.pusher import executor
from tfx_tflite.components.settings import PROPERTY


class TFLitePusherSpec(standard_component_specs.PusherSpec):
    """Inputs, outputs and execution properties of `TFLitePusher`: those of TFX's, and one."""

    PARAMETERS = {
        **standard_component_specs.PusherSpec.PARAMETERS,
        PROPERTY: ExecutionParameter(type=str),
    }


class TFLitePusher(tfx_pusher.Pusher):
    """Pushes a blessed TensorFlow Lite model to `<destination>/<version>/`.

    The blessing must be one that `QuantizationEvaluator` gave to these very bytes. The model is
    tried with the plain runtime first. A push is whole or it is not there, and a model that is
    there already is not pushed again. See `components/destinations/destination.py`.

    In a pipeline of your own with TFX's cache on, a cached push does not look at the destination;
    the runners of `tfx_tflite.pipelines` leave this component out of the cache for that reason.

    Component `outputs` contains:
        - `pushed_model`: `PushedModel` with a copy of what was pushed and the custom properties of
          TFX's Pusher (`pushed`, `pushed_destination`, `pushed_version`), `push_outcome` and
          `push_note`, as of `PushedVersion`, and `approve_command` if the version waits for
          approval; what was rolled back from or rejected is not pushed again.

    Args:
        model: The `Model` with the quantized model.
        model_blessing: Its `ModelBlessing`.
        push_destination: Its `filesystem.base_directory` is a local path or a URI that TFX's file
            I/O reaches.
        infra_blessing: As in TFX's Pusher.
        settings: How the push is made.
        **options: The fields of `PusherSettings`, instead of `settings`: `keep`,
            `signing_key`, `verify_key`, `force`, `timeout`, `approval`.

    Raises:
        ConfigError: A value is out of its range.
    """

    SPEC_CLASS = TFLitePusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        push_destination: pusher_pb2.PushDestination,
        infra_blessing: types.BaseChannel | None = None,
        settings: PusherSettings | None = None,
        **options: object,
    ):
        # TFX's own constructor makes TFX's own spec.
        super(tfx_pusher.Pusher, self).__init__(
            spec=TFLitePusherSpec(
                model=model,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                push_destination=push_destination,
                settings=PusherSettings.given(settings, options).to_property(),
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
