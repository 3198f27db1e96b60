"""A mapping file's text → a Mapping, or all its errors."""
