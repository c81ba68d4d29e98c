"""Looking at runs: what stands where, in the terminal and as one HTML page, while they go on and afterwards. Runs nothing."""
