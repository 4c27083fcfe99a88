"""How the reference kernels of each TensorFlow differ from what TensorFlow Lite Micro gave."""

from importlib.metadata import version

import numpy as np

from tfx_tflite.components.releases import release_number

# Of how many of 50 rows TensorFlow 2.21's reference kernels give other outputs, and by how many
# steps; those of 2.16 give Micro's outputs of every row.
OTHER_ROWS_ON_2_21 = {"dense": (11, 1)}


def rounds_dense_layers_otherwise() -> bool:
    """Returns whether the installed TensorFlow's reference kernels are those of 2.21."""
    return release_number(version("tensorflow")) >= release_number("2.21")


def expected_differences(net: str) -> tuple[int, int]:
    """Returns how many rows are to differ from Micro's, and by how many steps at most."""
    return OTHER_ROWS_ON_2_21.get(net, (0, 0)) if rounds_dense_layers_otherwise() else (0, 0)


def differences(found: np.ndarray, recorded: np.ndarray) -> tuple[int, int]:
    """Returns how many rows of int8 outputs differ, and by how many steps at most."""
    steps = np.abs(found.astype(int) - recorded.astype(int))
    return int(np.any(steps.reshape(len(steps), -1), axis=1).sum()), int(steps.max())
