"""From stored results to a recommendation with its uncertainty: the best alpha, searches for it, rules."""
