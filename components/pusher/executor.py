"""The TFLitePusher executor: blessing checked against the bytes, then an atomic versioned push."""

import json
import posixpath
from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.components.pusher import executor as tfx_pusher
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.utils import io_utils, proto_utils

from tfx_tflite.components import artifact_files
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.errors import PushError
from tfx_tflite.components.pusher import destination


class Executor(tfx_pusher.Executor):
    """Pushes a model with a blessing of its own; see `destination.py` for how."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model where it is blessed, and records that it was not where it is refused.

        Raises:
            PushError: There is no blessing, it is of other bytes, or the destination failed.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        with artifact_files.readable(self.GetModelPath(input_dict)) as directory:
            tflite = directory / "tflite"
            report = _checked_report(input_dict, tflite)
            version = destination.push(tflite, report, _base_directory(exec_properties))
        io_utils.copy_dir(str(version.path), pushed.uri)
        self._MarkPushed(pushed, str(version.path), str(version.number))
        logging.info("%s at %s", "Pushed" if version.is_new else "Already pushed", version.path)

    def CheckBlessing(self, input_dict: dict[str, list[types.Artifact]]) -> bool:
        """Returns whether the model is blessed.

        Raises:
            PushError: There is no model blessing, or it names another model.
        """
        if not input_dict.get("model_blessing"):
            raise PushError("there is no model_blessing; nothing is pushed without one")
        if not super().CheckBlessing(input_dict):
            return False
        blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
        model = artifact_utils.get_single_instance(input_dict["model"])
        blessed_id = blessing.get_int_custom_property("current_model_id")
        if blessed_id != model.id:
            raise PushError(
                f"the blessing is of model artifact {blessed_id}, but artifact {model.id} is to be "
                "pushed; give the Pusher the model that was evaluated"
            )
        return True


def _checked_report(input_dict: dict[str, list[types.Artifact]], tflite: Path) -> dict[str, Any]:
    """Returns the evaluator's report after checking that it is of the file's very bytes."""
    blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
    blessed = blessing.get_string_custom_property("model_digest")
    found = file_digest(tflite)
    if not blessed:
        raise PushError(
            "the blessing does not say which bytes it is of (model_digest); it must come from "
            "QuantizationEvaluator"
        )
    if found != blessed:
        raise PushError(f"{tflite} changed since it was blessed: {found}, expected {blessed}")
    model = artifact_utils.get_single_instance(input_dict["model"])
    for name in ("float_model_digest", "sample_digest"):
        made, judged = (artifact.get_string_custom_property(name) for artifact in (model, blessing))
        if made and made != judged:
            raise PushError(
                f"{name} of the model is {made}, of the blessing {judged or 'none'}; evaluate the "
                "model again"
            )
    with fileio.open(posixpath.join(blessing.uri, "report.json"), "r") as file:
        return json.loads(file.read())


def _base_directory(exec_properties: dict[str, Any]) -> Path:
    target = proto_utils.json_to_proto(
        exec_properties["push_destination"], pusher_pb2.PushDestination()
    )
    base = target.filesystem.base_directory
    if not base or not artifact_files.is_local(base):
        raise PushError(f"push.destination {base!r} is not a local directory")
    return Path(base)
