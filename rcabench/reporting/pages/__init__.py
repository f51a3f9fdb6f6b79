"""The parts of the HTML report: markup, drawings, tables and whole pages."""
