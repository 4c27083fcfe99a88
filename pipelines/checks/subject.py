"""What checks look at: a config and, read once for all of them, its model and its data."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tfx_tflite.components.errors import DataError, ModelError, NotKnownError
from tfx_tflite.components.examples import first_records
from tfx_tflite.components.examples.first_records import Feature, FirstRecords
from tfx_tflite.components.models import interfaces
from tfx_tflite.components.models.interfaces import Interface
from tfx_tflite.pipelines.checks.builtin_features import records_of
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.preflight import Preflight

# Of a split with many files the first ones are looked at.
_FILES = 20


@dataclass(frozen=True)
class SplitLook:
    """What the files of a split say.

    Attributes:
        files: What was read, by file; of a file that cannot be read, why.
        has_more_files: Whether there are files that were not looked at.
    """

    files: Mapping[str, FirstRecords | Exception]
    has_more_files: bool = False

    @property
    def problems(self) -> dict[str, Exception]:
        """Why files cannot be read, by file."""
        return {file: found for file, found in self.files.items() if isinstance(found, Exception)}

    @cached_property
    def records(self) -> tuple[FirstRecords, ...]:
        """What was read of the files that hold records."""
        return tuple(
            found
            for found in self.files.values()
            if isinstance(found, FirstRecords) and found.count
        )

    @property
    def is_known(self) -> bool:
        """Whether there are records, no file is damaged, and features are all that there is."""
        return bool(self.records) and not self.problems and not self.has_sequences

    @property
    def has_sequences(self) -> bool:
        """Whether there are SequenceExamples, whose feature lists were not looked at."""
        return any(found.has_sequences for found in self.records)

    @property
    def is_all(self) -> bool:
        """Whether all records of the split were read."""
        return not self.has_more_files and all(found.is_all for found in self.records)

    @property
    def features(self) -> frozenset[str]:
        """The features that any record has."""
        return frozenset(name for found in self.records for name in found.features)

    def lacks(self, name: str) -> bool:
        """Returns whether a record lacks a feature."""
        return not all(found.always_has(name) for found in self.records)

    def found(self, name: str) -> tuple[Feature, ...]:
        """Returns what the files say of a feature."""
        return tuple(found.features[name] for found in self.records if name in found.features)


@dataclass(frozen=True)
class Subject:
    """A config whose files were found, and what they say.

    Attributes:
        preflight: The config, and which files there are.
    """

    preflight: Preflight

    @property
    def config(self) -> PipelineConfig:
        """The config."""
        return self.preflight.config

    @cached_property
    def interfaces(self) -> Mapping[str, Interface] | None:
        """The signatures of the model by name; None if there is none yet, or it cannot be read."""
        model = self.config.model
        try:
            if model.tflite is not None:
                return interfaces.of_flatbuffer(model.tflite)
            return (
                None if model.saved_model is None else interfaces.of_saved_model(model.saved_model)
            )
        except (ModelError, OSError):
            return None

    @property
    def signature(self) -> Interface | None:
        """The signature that is quantized; None if it is not known."""
        return (self.interfaces or {}).get(self.config.model.signature)

    @property
    def preprocessing(self) -> Interface | None:
        """The preprocessing signature; None if it is not known, or there is none."""
        return (self.interfaces or {}).get(self.config.model.preprocessing_signature or "")

    @cached_property
    def splits(self) -> Mapping[str, SplitLook]:
        """What the files of the splits on this machine say, by split, or builtin data."""
        if self.config.data.builtin is not None:
            builtin = SplitLook({self.config.data.builtin: records_of(self.config.data.builtin)})
            return dict.fromkeys(self.config.data.splits, builtin)
        if self.config.data.format not in first_records.READERS:
            return {}
        files: dict[str, list[str]] = {}
        for data in self.preflight.data:
            files.setdefault(data.split, []).extend(data.files)
        return {
            split: SplitLook(self._read(names[:_FILES]), len(names) > _FILES)
            for split, names in files.items()
        }

    def _read(self, files: list[str]) -> dict[str, FirstRecords | Exception]:
        found: dict[str, FirstRecords | Exception] = {}
        for file in files:
            if Path(file).is_dir():
                continue
            try:
                found[file] = first_records.read(file, self.config.data.format)
            except (DataError, NotKnownError, OSError) as error:
                found[file] = error
        return found

    @property
    def splits_in_use(self) -> dict[str, SplitLook]:
        """What the files of the splits say that the model predicts on, if that is known."""
        wanted = {self.config.evaluation.split}
        if self.config.quantization.needs_calibration:
            wanted.add(self.config.calibration.split)
        names = [name for name in self.config.data.split_names if name in wanted]
        looks = {name: self.look_of(name) for name in names}
        return {name: look for name, look in looks.items() if look is not None and look.is_known}

    def look_of(self, split: str) -> SplitLook | None:
        """Returns what the files say that hold a split's examples, None if it is not known."""
        if self.config.data.hash_buckets is None:
            return self.splits.get(split)
        # The files of one pattern hold those of all splits.
        return next(iter(self.splits.values()), None)
