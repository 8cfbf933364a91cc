"""One module for each wire format; none knows another."""
