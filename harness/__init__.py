"""Device test harness for vision-language models on Snapdragon phones."""

__version__ = "0.1.0"
