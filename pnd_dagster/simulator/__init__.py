"""Loopback stand-ins for the outside world, for the demo and end-to-end tests.

They know wire formats only and import nothing else of this package. What they make tests machinery: a score on it says nothing about skill.
"""
