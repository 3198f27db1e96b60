"""Mapping files: what a topic and a payload become. The language, its loader, the routes; the writer compiles them."""
