"""The bias laboratory: problems small enough to enumerate, on which every objective's gradient is known exactly."""
