"""The reference of the documentation, written from the code: settings, commands, metrics, methods, formats."""
