"""What the files in artifacts are called, and what artifacts and executions say of themselves.

Everything here is also known outside: by TFX, by those who read pushed versions, or by runs of
before. A name may be added, and none may change.
"""

# In the quantizer's `Model`, beside the model at TFX's own place for it.
FLOAT_TFLITE_FILE = "float32.tflite"
# In a `Model` that is a float TensorFlow Lite file.
FLOAT_MODEL_FILE = "float.tflite"
RANGES_FILE = "ranges.json"
QUANTIZATION_FILE = "quantization.json"

# In the tuner's `HyperParameters`, beside the float32 model and the ranges.
RECIPE_FILE = "recipe.json"
TUNING_FILE = "tuning.json"
DRAWS_FILE = "draws.json"
QUANTIZED_TFLITE_FILE = "quantized.tflite"

# In the evaluator's `ModelEvaluation` and `ModelBlessing`, and with what was pushed.
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
# What a push ships beside the model, below the blessing.
SHIPPED_DIRECTORY = "shipped"
GOLDEN_DIRECTORY = "golden"
SCHEMA_FILE = "schema.pbtxt"

# A version at a destination.
MODEL_FILE = "model.tflite"
MANIFEST_FILE = "manifest.json"

# Of every artifact: the digests of its files, or of its folders, by name, as JSON.
CONTENT_DIGESTS = "content_digests"

# In `Examples` of TFRecords that were copied, beside the splits: from which files.
COPIED_FILES_FILE = "files.json"
# Of `Examples`: how many each split has, by name, as JSON.
SPLIT_SIZES = "split_sizes"

# Custom properties of the calibration examples.
SAMPLE_DIGEST = "sample_digest"
SAMPLE_SIZE = "sample_size"
SAMPLE_REQUESTED = "sample_requested"
SAMPLE_SEED = "sample_seed"
SAMPLE_STRATA = "sample_strata"
# Only of several draws: a digest of each, as JSON, and the share of examples that several have.
SAMPLE_DRAWS = "sample_draws"
SAMPLE_SHARED = "sample_shared"

# Of the quantized model; those that a blessing has too must be the same there.
SCHEME = "scheme"
MODEL_DIGEST = "model_digest"
FLOAT_MODEL_DIGEST = "float_model_digest"
SIZE_BYTES = "size_bytes"
FLOAT_SIZE_BYTES = "float_size_bytes"

# Of the evaluation and the blessing.
VERDICT = "verdict"
EXAMPLES = "examples"
EVAL_SPLIT_DIGEST = "eval_split_digest"
CONFIG_DIGEST = "config_digest"
REPORT_DIGEST = "report_digest"
# 1 if the pushed model could not be looked at, so that the verdict must not be taken again.
REFERENCE_NOT_KNOWN = "reference_not_known"
# TFX's own name for which model a blessing is of.
BLESSED_MODEL_ID = "current_model_id"

# Of the pushed model: TFX's own first.
PUSHED = "pushed"
PUSHED_DESTINATION = "pushed_destination"
PUSHED_VERSION = "pushed_version"
PUSH_OUTCOME = "push_outcome"
PUSH_NOTE = "push_note"
# What is typed to approve the pushed version; only of one that waits for that.
APPROVE_COMMAND = "approve_command"

# An execution property that decides nothing, so that TFX's cache must not go by it.
PROVENANCE = "provenance"
