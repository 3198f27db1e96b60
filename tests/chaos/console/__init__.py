"""A console that runs along with the pipeline under test: somebody asks for its pages all the time, and replays dead
letters with it."""
