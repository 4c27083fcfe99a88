"""What the API's own definition allows, read from the client that is generated from it."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import kfp_server_api
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

_APIS = (
    kfp_server_api.HealthzServiceApi,
    kfp_server_api.ExperimentServiceApi,
    kfp_server_api.RunServiceApi,
    kfp_server_api.RecurringRunServiceApi,
    kfp_server_api.PipelineServiceApi,
    kfp_server_api.PipelineUploadServiceApi,
)
_NATIVE = {"str": str, "bool": bool, "int": int, "float": float}


@dataclass(frozen=True)
class Route:
    """An operation of the API.

    Attributes:
        name: What the generated client calls it.
        pattern: Matches its path and gives the parameters in it.
        query: The names that its query may have.
        body: The model of its body; None where it has none.
    """

    name: str
    pattern: re.Pattern[str]
    query: frozenset[str]
    body: str | None


@cache
def routes() -> dict[str, list[Route]]:
    """Returns the API's operations by HTTP method, read from the generated client."""
    found: dict[str, list[Route]] = {}
    for api in _APIS:
        for name, function in inspect.getmembers(api, inspect.isfunction):
            if not name.endswith("_with_http_info"):
                continue
            source = inspect.getsource(function)
            called = re.search(r"call_api\(\s*'([^']+)', '([A-Z]+)'", source)
            assert called, f"{name} calls no path"
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", called[1])
            # From kfp 2.16 on a body is called after what it is.
            argument = re.search(r"body_params = local_var_params\['(\w+)'\]", source)
            body = argument and re.search(rf":type {argument[1]}: (\w+)", source)
            route = Route(
                # From kfp 2.16 on the service is part of the name: run_service_create_run.
                re.sub(r"^\w+_service_", "", name.removesuffix("_with_http_info")),
                re.compile(f"^{pattern}$"),
                frozenset(re.findall(r"query_params\.append\(\('(\w+)'", source)),
                body[1] if body else None,
            )
            found.setdefault(called[2], []).append(route)
    return found


def violations(model: str, value: Any, where: str = "body") -> Iterator[str]:
    """Yields what is wrong with a JSON value that should be of a model of the API."""
    listed = re.match(r"list\[(.*)\]$", model)
    if listed:
        if not isinstance(value, list):
            yield f"{where}: {value!r} is not a list"
            return
        for index, entry in enumerate(value):
            yield from violations(listed[1], entry, f"{where}[{index}]")
    elif model == "object":
        return
    elif model.startswith("dict("):
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is not a mapping"
    elif model in _NATIVE:
        if type(value) is not _NATIVE[model]:
            yield f"{where}: {value!r} is not of type {model}"
    elif model == "datetime":
        if not isinstance(value, str) or not re.match(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$", value
        ):
            yield f"{where}: {value!r} is not a time of RFC 3339"
    else:
        yield from _model_violations(getattr(kfp_server_api.models, model), value, where)


def _model_violations(model: Any, value: Any, where: str) -> Iterator[str]:
    if not model.openapi_types:
        if value not in model.allowable_values:
            yield f"{where}: {value!r} is not one of {model.allowable_values}"
        return
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is not a mapping"
        return
    types = {model.attribute_map[key]: kind for key, kind in model.openapi_types.items()}
    for key, entry in value.items():
        if key not in types:
            yield f"{where}.{key} is no field of {model.__name__}"
        else:
            yield from violations(types[key], entry, f"{where}.{key}")


def spec_violations(spec: Any) -> Iterator[str]:
    """Yields what is wrong with the pipeline spec of a body, which the API's models leave open."""
    has_platform = "pipeline_spec" in spec
    parts = {pipeline_spec_pb2.PipelineSpec: spec["pipeline_spec"] if has_platform else spec}
    if has_platform:
        parts[pipeline_spec_pb2.PlatformSpec] = spec["platform_spec"]
    for message, part in parts.items():
        try:
            json_format.ParseDict(part, message())
        except json_format.ParseError as error:
            yield f"pipeline_spec: {error}"
