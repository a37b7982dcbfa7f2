"""What is done with compiled diagrams: listings, reports, drawings, verification, runs, pages on diagnostics."""
