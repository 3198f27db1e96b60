"""The language of mappings."""
