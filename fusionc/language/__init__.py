"""Text to checked syntax: sources and spans, diagnostics, the AST, the parser, the printer, name resolution."""
