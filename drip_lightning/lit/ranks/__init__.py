"""Many ranks: strategies, the comparison before training, the watchdog."""
