"""How good samples are: numbers with their protocol, beside the noise floor of real data."""
