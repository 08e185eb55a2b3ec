"""Simulated nights, to find out how often a verdict on a rate is wrong."""
