"""One specialist per modality: telemetry in, evidence out."""
