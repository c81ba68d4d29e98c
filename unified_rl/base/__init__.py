"""What every floor may use: facts and protocols, errors, randomness, files, plugins. No torch."""
