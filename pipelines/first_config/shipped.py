"""The examples that are shipped: configs and trainers, beside this package."""

from pathlib import Path

from tfx_tflite.components.errors import ConfigError, DataError

# In the repository `configs/`; an installed package has it as its own folder of that name.
_CONFIGS = Path(__file__).parents[2] / "configs"
# Each example, and the trainer that goes with it.
EXAMPLES = {
    "digits": "digits_trainer.py",
    "breast_cancer": "tabular_trainer.py",
    "diabetes": "tabular_trainer.py",
}


def write_example(name: str, directory: Path) -> Path:
    """Writes an example's config and trainer, and returns where the config is.

    Args:
        name: Which one.
        directory: Where; it is made if it is not there.

    Raises:
        ConfigError: One of the files is there already.
        DataError: The directory cannot be written.
    """
    config = directory / f"{name}.yaml"
    trainer = directory / EXAMPLES[name]
    texts = {
        # What a run leaves lies beside the config, and not beside the folder of all configs.
        config: _read(config.name).replace("../runs", "runs").replace("../pushed", "pushed"),
        trainer: _read(trainer.name),
    }
    for path in texts:
        if path.exists():
            raise ConfigError(
                f"{path} is there already, and nothing is overwritten; name another directory"
            )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        raise DataError(f"cannot write {error.filename}: {error.strerror}") from error
    return config


def _read(name: str) -> str:
    return (_CONFIGS / name).read_text(encoding="utf-8")
