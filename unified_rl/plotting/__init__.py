"""Tables to pictures: one module per figure, one style. Reads tables; runs nothing, imports no torch."""
