"""The user's pictures into shards: what is found in a source, what becomes of it, and the report."""
