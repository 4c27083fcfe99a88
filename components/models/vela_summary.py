"""The row of figures that Vela writes beside a compiled model.

Its columns: names of the configuration (`accelerator_configuration`, `system_config`,
`memory_mode`); `core_clock` in Hz; `*_bandwidth` in GiB/s; `arena_cache_size`, a limit, and
`*_memory_used` in KiB; `inference_time` in seconds, which is `cycles_total` / `core_clock`;
`inferences_per_second`, its inverse; `batch_size`, always 1; `passes_*`, operators of the
accelerator before and after they are joined; `total_*_weights` and all `*_bytes` in bytes, the
latter read or written in a run; `nn_macs`, multiply-adds of a run; `nn_tops`, 10^12 operations a
second, two a multiply-add; and `cycles_*`, of which `cycles_total` is not the sum: the accelerator
computes while memory is read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

_KIBIBYTE = 1024


@dataclass(frozen=True)
class Summary:
    """The figures that are used here.

    Attributes:
        system: The system configuration: clock and memories.
        memory_mode: Which memory is for what.
        clock_hz: The accelerator's clock.
        cycles: Of one run of the model, whatever its batch size.
        sram_bytes: Of the static memory on the chip: tensors, or a cache for them.
        flash_bytes: Of flash on and beside the chip: weights, biases and tables.
        dram_bytes: Of dynamic memory, which has both if the memory mode says so.
    """

    system: str
    memory_mode: str
    clock_hz: float
    cycles: int
    sram_bytes: int
    flash_bytes: int
    dram_bytes: int

    @classmethod
    def of(cls, row: Mapping[str, str]) -> "Summary":
        """Returns the figures of a row.

        Args:
            row: Values by column. Memory is in KiB, the clock in Hz, `inference_time` in seconds.

        Raises:
            KeyError: A column is missing.
            ValueError: A value is not what it should be.
            TypeError: The row is shorter than its header.
        """
        clock, cycles = float(row["core_clock"]), float(row["cycles_total"])
        seconds = float(row["inference_time"])
        if not (0 < clock < math.inf and 0 <= cycles < math.inf):
            raise ValueError(f"cycles_total is {cycles} at core_clock {clock:.6g}")
        if not math.isclose(seconds, cycles / clock, rel_tol=1e-6):
            raise ValueError(
                f"inference_time {seconds:.6g} is not {cycles:.6g} cycles at {clock:.6g} Hz"
            )
        sram, dram, on_chip, off_chip = (
            round(float(row[f"{area}_memory_used"]) * _KIBIBYTE)
            for area in ("sram", "dram", "on_chip_flash", "off_chip_flash")
        )
        return cls(
            system=row["system_config"],
            memory_mode=row["memory_mode"],
            clock_hz=clock,
            cycles=round(cycles),
            sram_bytes=sram,
            flash_bytes=on_chip + off_chip,
            dram_bytes=dram,
        )
