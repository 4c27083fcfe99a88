"""The TFLitePusher executor: the blessing checked against the bytes, then the push."""

import contextlib
import functools
import posixpath
from pathlib import Path

from absl import logging
from tfx.components.evaluator import constants
from tfx.components.pusher import executor as tfx_pusher
from tfx.components.util import model_utils
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.utils import io_utils, proto_utils

from tfx_tflite.components import artifact_files
from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components.artifact_digests import check_all
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.destinations.approval import approve_command_at
from tfx_tflite.components.destinations.destination import (
    Candidate,
    Destination,
    PushedVersion,
    Trust,
)
from tfx_tflite.components.destinations.ledger import Waiting
from tfx_tflite.components.destinations.manifest import MetadataIds
from tfx_tflite.components.destinations.push import Judge
from tfx_tflite.components.destinations.settings import PusherSettings
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import DestinationError, NotKnownError, PushError, listed
from tfx_tflite.components.judgement.looks import judged_again
from tfx_tflite.components.models.smoke_test import try_model
from tfx_tflite.components.report import page
from tfx_tflite.components.report.document import Pushed, Report, WaitingVersion
from tfx_tflite.components.report.version_trend import with_history
from tfx_tflite.components.verdict import Verdict


class Executor(tfx_pusher.Executor):
    """Pushes a model with a blessing of its own; see `Destination.push` for how."""

    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Pushes the model where it is blessed, and records that it was not where it is refused.

        Raises:
            ArtifactError: The model or the blessing is not what it was when it was made.
            PushError: There is no blessing, it is of other bytes or contradicts itself, the model
                does not do what it did when it was evaluated, or the destination failed.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = PusherSettings.from_property(exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        check_all(input_dict)
        is_blessed = self.CheckBlessing(input_dict)
        if not is_blessed and not _has_report(input_dict):
            self._MarkNotPushed(pushed)
            return
        report = _blessed_report(input_dict)
        _check_agreement(input_dict, report)
        if not is_blessed and report.judged is None:
            self._MarkNotPushed(pushed)
            return
        destination = Destination.open(
            _base_directory(str(exec_properties["push_destination"])),
            settings.timeout,
            Trust.of(settings),
        )
        judge = _judge(report, destination)
        if not is_blessed:
            if judge is not None:
                destination.count(judge)
            self._MarkNotPushed(pushed)
            return
        blessing = artifact_utils.get_single_uri(input_dict["model_blessing"])
        with (
            artifact_files.readable(self.GetModelPath(input_dict)) as model,
            artifact_files.readable(posixpath.join(blessing, layout.SHIPPED_DIRECTORY)) as shipped,
        ):
            version = destination.push(
                self._candidate(
                    input_dict,
                    report,
                    model / "tflite",
                    shipped,
                    _compared_with(report, destination),
                    judge,
                ),
                force=settings.force,
                keep=settings.keep,
                approval=settings.approval == "required",
                trial=functools.partial(
                    try_model, goldens=report.goldens, shapes=report.example_shapes
                ),
            )
        if not version.is_there:
            self._MarkNotPushed(pushed)
        else:
            where = _pushed(destination, version)
            _copy(destination, version, pushed.uri)
            _write_report(with_history(report, destination), where, pushed.uri)
            self._MarkPushed(pushed, version.uri, str(version.number))
        pushed.set_string_custom_property(layout.PUSH_OUTCOME, version.outcome)
        pushed.set_string_custom_property(layout.PUSH_NOTE, version.note)
        if version.waits:
            pushed.set_string_custom_property(
                layout.APPROVE_COMMAND, approve_command_at(destination, version.number)
            )
        logging.info("%s at %s. %s", version.outcome, version.uri, version.note)

    def CheckBlessing(self, input_dict: Artifacts) -> bool:
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
        blessed_id = blessing.get_int_custom_property(layout.BLESSED_MODEL_ID)
        if blessed_id != model.id:
            raise PushError(
                f"the blessing is of model artifact {blessed_id}, but artifact {model.id} is to be "
                "pushed; give the Pusher the model that was evaluated"
            )
        return True

    def _candidate(
        self,
        input_dict: Artifacts,
        report: Report,
        model: Path,
        shipped: Path,
        compared_with: int | None,
        judge: Judge | None,
    ) -> Candidate:
        model_artifact = artifact_utils.get_single_instance(input_dict["model"])
        blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
        digest = blessing.get_string_custom_property(layout.MODEL_DIGEST)
        return Candidate(
            files={layout.MODEL_FILE: model, **{name: shipped / name for name in report.shipped}},
            digests={layout.MODEL_FILE: digest, **report.shipped},
            description=report.description(
                MetadataIds(
                    execution=self._execution_id(),
                    model_artifact=model_artifact.id,
                    blessing_artifact=blessing.id,
                )
            ),
            compared_with=compared_with,
            judge=judge,
        )

    def _execution_id(self) -> int | None:
        unique_id = str(getattr(self._context, "_unique_id", None))
        return int(unique_id) if unique_id.isdecimal() else None


def _has_report(input_dict: Artifacts) -> bool:
    """Returns whether the blessing is one of QuantizationEvaluator, which has a report."""
    blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
    return bool(blessing.get_string_custom_property(layout.REPORT_DIGEST))


def _check_agreement(input_dict: Artifacts, report: Report) -> None:
    """Checks that ML Metadata, the blessing's file and the report say the same of the model.

    Raises:
        PushError: They do not.
    """
    blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
    files = [
        name
        for name in (constants.BLESSED_FILE_NAME, constants.NOT_BLESSED_FILE_NAME)
        if fileio.exists(posixpath.join(blessing.uri, name))
    ]
    by_property = model_utils.is_model_blessed(blessing)
    by_file = files == [constants.BLESSED_FILE_NAME]
    by_report = report.verdict is Verdict.BLESSED
    if len(files) == 1 and by_property == by_file == by_report:
        return
    raise PushError(
        f"the blessing at {artifact_files.stored_at(blessing)} contradicts itself: "
        f"{layout.REPORT_FILE} says {report.verdict.value}, its file is "
        f"{listed(files)}, and its property in ML Metadata says "
        f"{'blessed' if by_property else 'not blessed'}; evaluate the model again"
    )


def _blessed_report(input_dict: Artifacts) -> Report:
    """Returns the evaluator's report after checking that it is the blessing's and of the model."""
    blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
    for name in (layout.MODEL_DIGEST, layout.REPORT_DIGEST):
        if not blessing.get_string_custom_property(name):
            raise PushError(
                f"the blessing does not say which bytes it is of ({name}); it must come from "
                "QuantizationEvaluator"
            )
    model = artifact_utils.get_single_instance(input_dict["model"])
    for name in (layout.FLOAT_MODEL_DIGEST, layout.SAMPLE_DIGEST):
        made, judged = (artifact.get_string_custom_property(name) for artifact in (model, blessing))
        if made and made != judged:
            raise PushError(
                f"{name} of the model is {made}, of the blessing {judged or 'none'}; evaluate the "
                "model again"
            )
    path = posixpath.join(blessing.uri, layout.REPORT_FILE)
    with fileio.open(path, "rb") as file:
        content = file.read()
    expected = blessing.get_string_custom_property(layout.REPORT_DIGEST)
    if bytes_digest(content) != expected:
        raise PushError(
            f"{path} changed since the model was blessed: {bytes_digest(content)}, expected "
            f"{expected}"
        )
    return Report.parse(content, path)


def _compared_with(report: Report, destination: Destination) -> int | None:
    """Returns the version at a destination that the model was compared with, as of `Candidate`."""
    compared_at = report.pushed_destination
    if compared_at is None or Destination.open(compared_at).uri != destination.uri:
        return None
    return report.pushed_reference.version if report.pushed_reference else 0


def _judge(report: Report, destination: Destination) -> Judge | None:
    """Returns what judges the model beside those at a destination; None if nothing is counted.

    Raises:
        PushError: Judgements are counted at another destination.
    """
    if report.judged is None or report.counted_at is None:
        return None
    if Destination.open(report.counted_at).uri != destination.uri:
        raise PushError(
            f"judgements of the model are counted at {report.counted_at}, but it is to be pushed "
            f"to {destination.uri}; give QuantizationEvaluator the same place as counted_at"
        )
    return functools.partial(judged_again, report.judged)


def _copy(destination: Destination, version: PushedVersion, uri: str) -> None:
    """Copies a pushed version to where artifacts are, from the store that it was pushed to.

    TFX's own files know no object stores, and take what they cannot read for empty.

    Raises:
        PushError: It was pushed, but cannot be copied.
    """
    try:
        for name in destination.files(version.number):
            path = posixpath.join(uri, name)
            fileio.makedirs(posixpath.dirname(path))
            with fileio.open(path, "wb") as file:
                file.write(destination.read(version.number, name))
    except (OSError, NotKnownError, DestinationError) as error:
        if isinstance(error, DestinationError) and not destination.is_version(version.number):
            # A push that came after this one keeps fewer versions.
            logging.warning("%s was removed before it could be copied.", version.uri)
            return
        raise PushError(
            f"the model is at {version.uri}, but could not be copied to the run's artifacts: "
            f"{error}; run again"
        ) from error


def _pushed(destination: Destination, version: PushedVersion) -> Pushed:
    """Returns what the report says of a pushed version, and of all that wait if it does."""
    waiting: list[Waiting] = []
    if version.waits:
        # That they cannot be listed is no reason to call the push failed.
        with contextlib.suppress(NotKnownError, DestinationError):
            waiting = destination.waiting()
    return Pushed(
        version=version.number,
        uri=version.uri,
        waits=version.waits,
        waiting=tuple(
            WaitingVersion(
                version=each.version,
                since=each.since,
                approve=approve_command_at(destination, each.version),
            )
            for each in waiting
        ),
    )


def _write_report(report: Report, where: Pushed, uri: str) -> None:
    """Writes the report once more beside the pushed model, now that its version is known."""
    pushed = report.model_copy(update={"pushed": where})
    io_utils.write_string_file(posixpath.join(uri, layout.REPORT_FILE), pushed.to_json())
    io_utils.write_string_file(posixpath.join(uri, layout.PAGE_FILE), page.render(pushed))


def _base_directory(push_destination: str) -> str:
    target = proto_utils.json_to_proto(push_destination, pusher_pb2.PushDestination())
    base: str = target.filesystem.base_directory
    if not base:
        raise PushError("push_destination has no filesystem.base_directory")
    return str(base)
