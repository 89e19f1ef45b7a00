"""From scores to figures: rows for all that was expected, thresholds from validation, figures of every part."""
