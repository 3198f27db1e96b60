"""What users of the console do: replays and exports, each of which is a row of console_action."""
