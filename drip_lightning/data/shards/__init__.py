"""Folders of WebDataset shards: their index, reading, writing, checking, and where they lie."""
