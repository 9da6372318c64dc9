"""From a base classifier and noise to votes and predictions."""
