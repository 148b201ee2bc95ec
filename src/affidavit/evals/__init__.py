"""How good retrieval is: judged questions in, measures, comparisons and gates out."""
