"""Where the parts are put together: those of the process, and those of each version of its configuration."""
