"""`make engines`: fetches engines for Beam, and compares what they give with one process."""
