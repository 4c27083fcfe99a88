"""`tfx-tflite doctor`: what is installed here, what each feature lacks, and what really runs."""
