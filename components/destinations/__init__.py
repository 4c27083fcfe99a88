"""Where models are pushed to: versions with manifests, a pointer to the current one, a ledger."""
