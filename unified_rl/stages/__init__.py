"""What a run is made of, stage by stage: SFT, stored samples, reward models, training, iterations, evaluation."""
