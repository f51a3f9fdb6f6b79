"""Turns foreign layouts into recordings and cases, and reads them back."""
