"""How right a model is: pure measures of replies and logits, without numpy."""
