"""What others need to know before they use a dataset: a Hugging Face card and Croissant metadata, from the tables."""
