"""Reports: what was found, as files for readers and for other tools."""
