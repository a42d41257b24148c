"""What watches a run: progress, stored configuration, panels, step log, guards and audits."""
