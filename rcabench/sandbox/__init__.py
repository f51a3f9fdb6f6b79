"""A place where code that nobody has read can run: it sees one incident's telemetry, computes, prints, and ends."""
