"""Experiments: config, command line, extract, train, predict, report."""
