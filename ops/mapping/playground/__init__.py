"""What the console's playground asks: what a mapping makes of a message, as data, and within limits of time and memory.

Whoever may see the console may write such a mapping, and it reads nothing but its own text and the library."""
