"""Is every byte still what was recorded? Workspace, cache and remote, really re-hashed; shards against their table."""
