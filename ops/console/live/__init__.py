"""What the pages show of the pipeline at this moment, and its charts."""
