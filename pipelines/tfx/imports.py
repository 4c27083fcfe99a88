"""What TFX and its libraries import and no run of ours needs; see `components.deferred_imports`."""

from tfx_tflite.components.deferred_imports import OF_KERAS

UNUSED_BY_RUNS = (
    *OF_KERAS,
    # All of TFX's components, for the sake of one: kubernetes, docker, Keras Tuner, Transform.
    "tfx.components",
    "docker",
    # Beam's readers of stores that nobody has named.
    "boto3",
    "google.cloud.bigquery",
    "google.cloud.bigquery_storage_v1",
    "google.cloud.pubsub",
    # TensorFlow asks it for the place of a cluster.
    "googleapiclient.discovery",
    # TFMA's notebook views, its metrics of texts, and one test of significance.
    "tensorflow_model_analysis.view",
    "nltk",
    "nltk.stem",
    "nltk.stem.porter",
    "rouge_score.rouge_scorer",
    "scipy.stats",
    "tqdm.notebook",
)
