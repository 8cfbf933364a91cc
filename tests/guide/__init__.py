"""The guide: its pages and their blocks, and the parts of it that are generated."""
