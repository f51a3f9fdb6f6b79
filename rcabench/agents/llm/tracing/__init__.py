"""What agents do, as spans: made, kept, sent."""
