"""For the console's playground: what a mapping makes of a message, as data, within limits of time and memory.

Every user of the console may write such a mapping, so it can read only its own text and the library."""
