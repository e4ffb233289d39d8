"""Run the lessons, and say what they showed: report, kept results, stability of the claims."""
