"""Run records in, statistics, tables and pages out."""
