"""A dataset in the forms that other tools read, made from its shards: one file per form, and what they share."""
