"""Kubeflow: compiled pipelines, what their containers run, and the server's client."""
