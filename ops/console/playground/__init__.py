"""The forms of the playground, and its listeners on a topic."""
