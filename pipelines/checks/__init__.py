"""What is looked at before a run: the config against the files, the model and the data it names."""
