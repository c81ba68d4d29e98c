"""An audit of anybody's rollouts: what a loss did to each token of a dumped file, and what another would have done."""
