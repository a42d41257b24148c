"""Floor 6: what a sweep found: tables, curves and pictures, from its folder alone."""
