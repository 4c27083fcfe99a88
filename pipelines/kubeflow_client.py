"""A Kubeflow Pipelines server, with errors in a line.

Credentials are the KFP client's own business: its environment variables (`KF_PIPELINES_…`), its
context file and the service account's token. None are taken from a config, and none are logged.
"""

import contextlib
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tfx_tflite.components.errors import ConfigError, TfxTfliteError
from tfx_tflite.pipelines.config import KubeflowConfig, PipelineConfig
from tfx_tflite.pipelines.kubeflow import CompiledPipeline

_Value = TypeVar("_Value")
_SERVER_SAYS = 300
_PAGE = 100
# Seconds, for the first word of a server.
_PATIENCE = 10


class ServerError(TfxTfliteError):
    """The Kubeflow Pipelines server cannot be reached, or refuses what is asked of it."""


def connect(kubeflow: KubeflowConfig, host: str) -> "Server":
    """Returns a server that answers.

    Args:
        kubeflow: Whose namespace is used.
        host: The server's URL.

    Raises:
        ConfigError: That is no URL.
        ServerError: Nothing answers there, or it does not take the credentials.
    """
    # Without one, KFP's client would look for a cluster by itself.
    if not _is_url(host):
        raise ConfigError("--host: expected a URL, like https://kubeflow.example.com")
    if "@" in urlsplit(host).netloc:
        raise ConfigError(
            "--host: credentials do not belong in the URL; they are the KFP client's own, see "
            "docs/kubeflow.md"
        )
    with _explained(host, kubeflow), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = _client(host, kubeflow.namespace)
        client.get_kfp_healthz()
        answer = client._healthz_api.api_client.last_response
        if "json" not in (answer.getheader("content-type") or ""):
            raise ServerError(
                f"what answers at {host} is not a Kubeflow Pipelines server; a page to log in at?"
            )
        return Server(client, host, kubeflow)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _client(host: str, namespace: str | None) -> Any:
    import kfp
    from kfp import client as kfp_client
    from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

    class Client(kfp.Client):
        """KFP's client, which says at once that a server does not answer, not in half a minute."""

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            return self._healthz_api.get_healthz(_request_timeout=_PATIENCE)

    # KFP takes the token of a service account by itself only where it is given no host.
    token = (
        os.environ.get(kfp_client.KF_PIPELINES_SA_TOKEN_ENV)
        or Path(kfp_client.KF_PIPELINES_SA_TOKEN_PATH).exists()
    )
    return Client(
        host=host,
        namespace=namespace or "kubeflow",
        credentials=ServiceAccountTokenVolumeCredentials() if token else None,
    )


class Server:
    """What is asked of a server.

    Args:
        client: KFP's client.
        host: The server's URL.
        kubeflow: Namespace, experiment and the like.
    """

    def __init__(self, client: Any, host: str, kubeflow: KubeflowConfig):
        self._client = client
        self._host = host
        self._kubeflow = kubeflow

    def link(self, page: str) -> str:
        """Returns the address of a page of Kubeflow's own."""
        return f"{self._client._get_url_prefix().rstrip('/')}/#/{page}"

    def submit(
        self, compiled: CompiledPipeline, config: PipelineConfig, values: Mapping[str, Any]
    ) -> str:
        """Starts a run and returns its link.

        Args:
            compiled: The pipeline.
            config: Its config.
            values: The runtime parameters.

        Raises:
            ServerError: The server refuses it.
        """
        experiment = self.experiment(config)
        with _package(compiled) as package:
            run = self.call(
                self._client.run_pipeline,
                experiment_id=experiment,
                job_name=f"{config.name} {time.strftime('%Y-%m-%d %H:%M:%S')}",
                pipeline_package_path=package,
                params=dict(values),
                pipeline_root=self._kubeflow.pipeline_root,
                # None leaves to each task what the compiled file says: a push is never cached.
                enable_caching=None if self._kubeflow.cache else False,
                service_account=self._kubeflow.service_account,
            )
        return self.link(f"runs/details/{run.run_id}")

    def experiment(self, config: PipelineConfig) -> str:
        """Returns the id of the config's experiment, which is made where there is none."""
        name = self._kubeflow.experiment or config.name
        return self.call(
            self._client.create_experiment, name=name, namespace=self._kubeflow.namespace
        ).experiment_id

    def create_recurring_run(
        self,
        compiled: CompiledPipeline,
        config: PipelineConfig,
        cron: str,
        description: str,
        enabled: bool,
    ) -> Any:
        """Creates a recurring run of a config's schedule and returns it.

        Args:
            compiled: The pipeline.
            config: Its config, with a schedule.
            cron: The schedule's cron expression as Kubeflow takes it.
            description: What is said of the recurring run.
            enabled: Whether it is not paused.
        """
        schedule = config.schedule
        assert schedule is not None
        experiment = self.experiment(config)
        with _package(compiled) as package:
            return self.call(
                self._client.create_recurring_run,
                experiment_id=experiment,
                job_name=config.name,
                description=description,
                start_time=rfc3339(schedule.start),
                end_time=rfc3339(schedule.end),
                cron_expression=cron,
                # Text, as 64-bit integers are in the API's JSON.
                max_concurrency="1",
                no_catchup=not schedule.catch_up,
                params=compiled.values,
                pipeline_package_path=package,
                enabled=enabled,
                pipeline_root=self._kubeflow.pipeline_root,
                # Otherwise every tick would be served the first one's results.
                enable_caching=False,
                service_account=self._kubeflow.service_account,
            )

    def recurring_runs(self, name: str) -> list[Any]:
        """Returns the recurring runs of a name, the oldest first."""
        predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
        found: list[Any] = []
        token = ""
        while True:
            page = self.call(
                self._client.list_recurring_runs,
                page_token=token,
                page_size=_PAGE,
                sort_by="created_at",
                namespace=self._kubeflow.namespace,
                filter=json.dumps({"predicates": [predicate]}),
            )
            found += page.recurring_runs or []
            token = page.next_page_token
            if not token:
                return found

    def runs_of(self, recurring_run: Any, limit: int) -> list[Any]:
        """Returns the last runs of a recurring run, the newest first."""
        page = self.call(
            self._client.list_runs,
            page_size=_PAGE,
            sort_by="created_at desc",
            experiment_id=recurring_run.experiment_id,
        )
        own = (
            run for run in page.runs or [] if run.recurring_run_id == recurring_run.recurring_run_id
        )
        return list(own)[:limit]

    def pause(self, recurring_run: Any) -> None:
        """Stops a recurring run from starting runs."""
        self.call(self._client.disable_recurring_run, recurring_run.recurring_run_id)

    def resume(self, recurring_run: Any) -> None:
        """Lets a recurring run start runs again."""
        self.call(self._client.enable_recurring_run, recurring_run.recurring_run_id)

    def delete(self, recurring_run: Any) -> None:
        """Deletes a recurring run; its runs stay."""
        self.call(self._client.delete_recurring_run, recurring_run.recurring_run_id)

    def call(self, function: Callable[..., _Value], *args: Any, **kwargs: Any) -> _Value:
        """Returns what a call of the client gives; what it prints and warns of is left out.

        Raises:
            ServerError: The server refuses it or is gone.
        """
        with (
            _explained(self._host, self._kubeflow),
            Path(os.devnull).open("w") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            return function(*args, **kwargs)


def rfc3339(moment: datetime | None) -> str | None:
    """Returns a time as the API takes it."""
    if moment is None:
        return None
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def _package(compiled: CompiledPipeline) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pipeline.yaml"
        compiled.write(path)
        yield str(path)


@contextlib.contextmanager
def _explained(host: str, kubeflow: KubeflowConfig) -> Iterator[None]:
    """Turns what the client raises into a line."""
    import urllib3
    from google.auth.exceptions import GoogleAuthError
    from kfp_server_api import ApiException

    try:
        yield
    except ApiException as error:
        raise ServerError(_refusal(host, kubeflow, error)) from error
    except urllib3.exceptions.HTTPError as error:
        cause = getattr(error, "reason", None) or error
        raise ServerError(
            f"no Kubeflow Pipelines server answers at {host}: {_why(cause)}"
        ) from error
    except (GoogleAuthError, ValueError, OSError) as error:
        raise ServerError(f"{host}: {_shortened(str(error))}") from error


def _why(error: Any) -> str:
    # urllib3 puts the connection's address in memory first.
    return _shortened(str(error).rpartition(">: ")[2])


def _refusal(host: str, kubeflow: KubeflowConfig, error: Any) -> str:
    said = _said(error)
    if error.status == 401:
        return (
            f"{host} does not take the credentials (401{said}); they are the KFP client's own, see "
            "docs/kubeflow.md"
        )
    if error.status == 403:
        where = f"namespace {kubeflow.namespace!r}" if kubeflow.namespace else "its namespace"
        return f"{host} does not allow this in {where} (403{said}); is kubeflow.namespace right?"
    if error.status == 0:
        return f"no connection to {host} can be trusted: {_shortened(str(error.reason))}"
    return f"{host} refuses this ({error.status}{said})"


def _said(error: Any) -> str:
    """Returns what the server says of an error, after a colon; empty where it says nothing."""
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else error.body
    try:
        document = json.loads(body or "")
        message = document.get("message") or document.get("error") or ""
    except (ValueError, AttributeError):
        message = ""
    return f": {_shortened(message)}" if message else ""


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SERVER_SAYS else line[: _SERVER_SAYS - 1] + "…"
