"""The pytest front: options, markers, fixtures, outcomes, summary. No logic of its own."""
