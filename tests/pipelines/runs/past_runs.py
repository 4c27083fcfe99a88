"""Runs of the past below a root: artifacts, logs and ML Metadata in the form that real runs leave.

`test_a_root_of_real_runs_is_cleaned` holds this against what real runs leave.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as pb

from tests.components.destinations.interruption import make_candidate
from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components.artifact_layout import MODEL_DIGEST
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.manifest import MetadataIds
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.file import load_config

# From nodes to what they read and what they give.
NODES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ImportExampleGen": ((), ("examples",)),
    "Trainer": (("examples",), ("model", "model_run")),
    "TFLiteQuantizer": (("model", "examples"), ("quantized_model",)),
    "QuantizationEvaluator": (
        ("examples", "model", "quantized_model"),
        ("evaluation", "blessing", "page"),
    ),
    "Pusher": (("quantized_model", "blessing"), ("pushed_model",)),
}
_Execution, _Artifact, _Event = pb.Execution, pb.Artifact, pb.Event


@dataclass
class Run:
    """What came of a run.

    Attributes:
        executions: By node.
        artifacts: From keys of outputs to artifacts.
        pushed: The version that was pushed.
    """

    executions: dict[str, int] = field(default_factory=dict)
    artifacts: dict[str, pb.Artifact] = field(default_factory=dict)
    pushed: int | None = None

    def directories(self, *keys: str) -> set[Path]:
        """Returns where outputs are; all if none is named."""
        return {
            Path(artifact.uri)
            for key, artifact in self.artifacts.items()
            if not keys or key in keys
        }


class PastRuns:
    """A root in which runs were.

    Args:
        directory: Where the config is.
        name: The pipeline's name.
        store: The store, where it is not the root's own.
    """

    def __init__(self, directory: Path, name: str = "mine", store: Path | None = None):
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "c.yaml"
        place = f"metadata: {{sqlite: {store}}}\n" if store else ""
        self.path.write_text(MINIMAL.replace("name: mine", f"name: {name}") + place)
        self.root = Path(self.config.root)
        (self.root / "logs").mkdir(parents=True)
        self.store = self.connect()
        self._name = name
        self._runs = 0

    def connect(self) -> ml_metadata.MetadataStore:
        """Returns a connection to the store's file that is there now."""
        connection = pb.ConnectionConfig()
        connection.sqlite.filename_uri = self.config.metadata_path
        return ml_metadata.MetadataStore(connection)

    @property
    def config(self) -> PipelineConfig:
        """The config."""
        return load_config(self.path)

    @property
    def destination(self) -> Destination:
        """Where models were pushed."""
        return Destination.open(self.config.push.destination)

    def run(
        self,
        *cached: str,
        of: Run | None = None,
        fails_at: str = "",
        pushes: bool = True,
        is_noted: bool = True,
    ) -> Run:
        """Lets there have been a run.

        Args:
            cached: The nodes whose outputs are those of another run.
            of: That run.
            fails_at: The node that failed; those after it were not executed.
            pushes: Whether its model was pushed.
            is_noted: Whether the version says which execution pushed it.
        """
        self._runs += 1
        run = Run()
        contexts = [self._context("pipeline", self._name)]
        contexts.append(self._context("pipeline_run", f"run {self._runs}", contexts[0].id))
        for node in NODES:
            state = _Execution.COMPLETE
            if node in cached:
                state = _Execution.CACHED
            elif node == fails_at:
                state = _Execution.FAILED
            self._execute(node, state, run, contexts, of)
            if node == fails_at:
                break
        if "Pusher" in run.executions and pushes:
            self._push(run, is_noted)
        self._log(run, is_verdict=not fails_at)
        return run

    def _execute(
        self, node: str, state: int, run: Run, contexts: Collection[pb.Context], of: Run | None
    ) -> None:
        inputs, outputs = NODES[node]
        type_id = self.store.put_execution_type(pb.ExecutionType(name=f"type of {node}"))
        execution = _Execution(type_id=type_id, last_known_state=state)
        [number] = self.store.put_executions([execution])
        run.executions[node] = number
        events = [
            _Event(execution_id=number, artifact_id=run.artifacts[key].id, type=_Event.INPUT)
            for key in inputs
        ]
        system = self.root / "artifacts" / node / ".system" / "executor_execution" / str(number)
        system.mkdir(parents=True)
        for key in outputs:
            if state == _Execution.CACHED:
                assert of is not None
                run.artifacts[key] = of.artifacts[key]
            elif state == _Execution.COMPLETE:
                run.artifacts[key] = self._artifact(node, key, number)
            else:
                self._directory(node, key, number)
                continue
            events.append(
                _Event(execution_id=number, artifact_id=run.artifacts[key].id, type=_Event.OUTPUT)
            )
        self.store.put_events(events)
        own = self._context("node", f"{self._name}.{node}")
        self.store.put_attributions_and_associations(
            [],
            [
                pb.Association(context_id=context.id, execution_id=number)
                for context in (*contexts, own)
            ],
        )

    def _directory(self, node: str, key: str, number: int) -> Path:
        directory = self.root / "artifacts" / node / key / str(number)
        (directory / "part").mkdir(parents=True)
        (directory / "part" / "file").write_text(f"{key} {number}")
        return directory

    def _artifact(self, node: str, key: str, number: int) -> pb.Artifact:
        directory = self._directory(node, key, number)
        type_id = self.store.put_artifact_type(pb.ArtifactType(name=f"type of {key}"))
        artifact = _Artifact(type_id=type_id, uri=str(directory), state=_Artifact.LIVE)
        if key == "quantized_model":
            artifact.custom_properties[MODEL_DIGEST].string_value = self.digest(number)
        [artifact.id] = self.store.put_artifacts([artifact])
        return artifact

    @staticmethod
    def content(number: int) -> bytes:
        """Returns the model that an execution of the quantizer made."""
        return f"model {number}".encode()

    def digest(self, number: int) -> str:
        """Returns the digest of the model that an execution of the quantizer made."""
        return bytes_digest(self.content(number))

    def _push(self, run: Run, is_noted: bool) -> None:
        maker = int(Path(run.artifacts["quantized_model"].uri).name)
        sources = self.root.parent / "sources"
        sources.mkdir(exist_ok=True)
        candidate = make_candidate(sources, self.content(maker), {})
        if is_noted:
            ids = MetadataIds(
                execution=run.executions["Pusher"],
                model_artifact=run.artifacts["quantized_model"].id,
                blessing_artifact=run.artifacts["blessing"].id,
            )
            description = candidate.description.model_copy(update={"metadata": ids})
            candidate = replace(candidate, description=description)
        run.pushed = int(Path(self.destination.push(candidate).uri).name)

    def _log(self, run: Run, is_verdict: bool) -> None:
        log = self.root / "logs" / f"20260101-00{self._runs // 60:02}{self._runs % 60:02}-7.log"
        log.write_text("what libraries print")
        if is_verdict:
            report = f"{run.artifacts['evaluation'].uri}/report.json"
            result = {"format": 1, "status": "pushed", "report": report}
            log.with_suffix(".json").write_text(json.dumps(result))

    def _context(self, kind: str, name: str, parent: int | None = None) -> pb.Context:
        found = self.store.get_context_by_type_and_name(kind, name)
        if found is not None:
            return found
        type_id = self.store.put_context_type(pb.ContextType(name=kind))
        context = pb.Context(type_id=type_id, name=name)
        [context.id] = self.store.put_contexts([context])
        if parent is not None:
            self.store.put_parent_contexts(
                [pb.ParentContext(child_id=context.id, parent_id=parent)]
            )
        return context

    # What is there

    def there(self) -> set[Path]:
        """Returns the directories of artifacts that are there."""
        return {
            path
            for path in self.root.glob("artifacts/[A-Z]*/[a-z]*/*")
            if (path / "part" / "file").exists()
        }

    def logs(self) -> list[str]:
        """Returns the names of the logs and results that are there."""
        return sorted(path.name for path in (self.root / "logs").iterdir())

    def states(self) -> dict[str, int]:
        """Returns the states of all artifacts, by where they are."""
        return {artifact.uri: artifact.state for artifact in self.store.get_artifacts()}
