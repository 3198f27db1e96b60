"""An entry's bytes → rows, or the reason why there are none."""
