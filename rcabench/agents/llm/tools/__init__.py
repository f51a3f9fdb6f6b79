"""What agents can ask the telemetry: tools made of its questions, SQL, and answers as text."""
