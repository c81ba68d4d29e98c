"""What a run leaves behind, written and read: run directories, artefacts, progress, sinks. No torch."""
