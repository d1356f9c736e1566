"""What comes from outside the chain of batches: statements and declarations."""
