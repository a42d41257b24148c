"""How a run resumes exactly: checkpoints, position, random state, log and signals."""
