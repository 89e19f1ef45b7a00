"""One short script per DVC stage: read parameters and tables, call `pipeline`, write tables."""
