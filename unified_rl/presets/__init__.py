"""What makes a configuration legal: what sources provide against what the other axes need, and the rules about single settings."""
