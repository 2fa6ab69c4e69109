"""Cached features against fine-tuning: the same task, samples and number of trials for every method, costs measured."""
