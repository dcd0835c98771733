"""Agents for the tests of the commands, a module each, as the daemon wants them."""
