"""The features of the builtin data sets, which are only written when a run needs them.

A test compares them with what is written.
"""

from collections.abc import Mapping

from tfx_tflite.components.examples.first_records import RECORDS, Feature, FirstRecords, Kind

_MEASURED = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity"),
    *("concave_points", "symmetry", "fractal_dimension"),
)
_OF_CELLS = tuple(
    form.format(name) for form in ("mean_{}", "{}_error", "worst_{}") for name in _MEASURED
)
_OF_PATIENTS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6", "progression")
# Kind and number of values by feature.
_FEATURES: Mapping[str, Mapping[str, tuple[Kind, int]]] = {
    "digits": {"image": ("float", 64), "label": ("int", 1)},
    "breast_cancer": {**dict.fromkeys(_OF_CELLS, ("float", 1)), "malignant": ("int", 1)},
    "diabetes": dict.fromkeys(_OF_PATIENTS, ("float", 1)),
}


def records_of(builtin: str) -> FirstRecords:
    """Returns what the first records of a builtin data set say.

    Args:
        builtin: `digits`, `breast_cancer` or `diabetes`.
    """
    features = {
        name: Feature(kind, frozenset({size}), RECORDS)
        for name, (kind, size) in _FEATURES[builtin].items()
    }
    # All records of a set have the same features.
    return FirstRecords(RECORDS, features, True)
