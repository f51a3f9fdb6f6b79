"""One recording on its way to disk: staged, cleaned, put in order, written."""
