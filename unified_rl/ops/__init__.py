"""The maths: pure functions of tensors. No configuration, files, randomness or choice of device."""
