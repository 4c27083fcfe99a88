"""The TFLitePusher component: TFX's Pusher with an executor that ships only what was blessed."""

from tfx.components.pusher import component as tfx_pusher
from tfx.dsl.components.base import executor_spec

from tfx_tflite.components.pusher import executor


class TFLitePusher(tfx_pusher.Pusher):
    """Pushes a blessed TensorFlow Lite model to `<destination>/<version>/`.

    Inputs, outputs and parameters are those of TFX's `Pusher`. The blessing must be one that
    `QuantizationEvaluator` gave to these very bytes; a push is whole or it is not there, and the
    model that is already the newest version is not pushed again.

    In a pipeline of your own with TFX's cache on, a cached push does not look at the destination;
    the runners of `tfx_tflite.pipelines` leave this component out of the cache for that reason.

    Component `outputs` contains:
        - `pushed_model`: `PushedModel` with the custom properties of TFX's Pusher: `pushed`,
          `pushed_destination`, `pushed_version`.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
