"""What the commands take, a module a group; what they do is in the modules that they call, imported when they run."""
