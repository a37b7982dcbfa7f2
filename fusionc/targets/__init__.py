"""Programs to text. A target is a function from programs to a file's text, found by name in the registry."""
